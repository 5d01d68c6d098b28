"""Durable state: one SQLite file that holds all sections and the offsets they rest on, replaced in one transaction.

contents: what a state is made of. database: what is in the file, and how SQLite is asked for it. files: the folder, and
who may write to it. store: the whole, as the daemon and the command line use it. portable: a state as one file to carry
elsewhere.
"""

from monitor.store.contents import Account, Contents, Row, Saved, Stored
from monitor.store.portable import read_portable, write_portable
from monitor.store.store import Store, damages, put_in_place, reading

__all__ = [
    "Account",
    "Contents",
    "Row",
    "Saved",
    "Store",
    "Stored",
    "damages",
    "put_in_place",
    "read_portable",
    "reading",
    "write_portable",
]
