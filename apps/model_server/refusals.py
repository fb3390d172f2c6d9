"""Why a request gets no answer, with the HTTP status that says so."""


class RefusedError(Exception):
    """Base of these; the argument is what the client is told."""

    status = 500
    # Seconds after which asking again may help; None where it does not.
    retry_after: int | None = None

    def __init__(self, error: str, retry_after: int | None = None):
        super().__init__(error)
        if retry_after is not None:
            self.retry_after = retry_after


class ModelNotFoundError(RefusedError):
    """MLflow has no such model or version, or it is not one that is served."""

    status = 404


class TooLargeError(RefusedError):
    """More than the server takes, or than Kafka does."""

    status = 413


class InputError(RefusedError):
    """The model does not take this data."""

    status = 422


class BusyError(RefusedError):
    """As much waits as the server keeps."""

    status = 429
    retry_after = 1


class NotReadyError(RefusedError):
    """It would be answered if the model were loaded, or MLflow or Kafka there."""

    status = 503
