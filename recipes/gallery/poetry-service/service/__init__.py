from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/health")
def health():
    return jsonify(status="ok")


@app.get("/square/<int:n>")
def square(n: int):
    return jsonify(n=n, square=n * n)
