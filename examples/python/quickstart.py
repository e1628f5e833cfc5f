# quickstart.py - append an entry, read it back: PYTHONPATH=bindings/python python3 quickstart.py
import sys

import walrus

try:
    with walrus.open("orders") as log:
        index = log.append(b"hello")  # durable on return
        print(f"entry {index}: {log[index].decode()}")
except walrus.Error as error:
    sys.exit(f"orders: {error}")
