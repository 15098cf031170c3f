"""Counts the words of texts that it finds in a directory, as a model would classify them."""
import json
import pathlib
import sys

MODEL = pathlib.Path("/models")
LIMIT = 1000


def run(directory: pathlib.Path) -> dict[str, int]:
    vocabulary = set((MODEL / "vocabulary.txt").read_text().split())
    texts = sorted(directory.glob("*.txt"))[:LIMIT]
    return {text.name: sum(word in vocabulary for word in text.read_text().split()) for text in texts}


if __name__ == "__main__":
    print(json.dumps(run(pathlib.Path(sys.argv[1]))))
