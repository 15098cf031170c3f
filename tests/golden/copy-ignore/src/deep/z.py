deep/z.py
