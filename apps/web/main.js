import { create } from "./server.js";

const { MODEL_SERVER_URL, PORT = "3000" } = process.env;
if (!URL.canParse(MODEL_SERVER_URL ?? "")) {
  console.error("MODEL_SERVER_URL: the model server's address, such as http://model-server:8000");
  process.exit(2);
}
const server = create(MODEL_SERVER_URL).listen(Number(PORT));
// As the first process of a container it gets no default action for this signal.
process.on("SIGTERM", () => server.close());
