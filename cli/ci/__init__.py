"""What the lab's own pipelines run: previews and their note, the gate, drift, images."""
