import errno
import sqlite3

import pytest
from obstore.exceptions import GenericError, NotFoundError, PermissionDeniedError
from sqlalchemy.exc import IntegrityError, OperationalError

from sparsebook_compressor.errors import NotOnnx, StorageFull
from sparsebook_service.patience import may_pass


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "input/output error"),
        OSError(errno.EMFILE, "too many open files"),
        ConnectionResetError(),
        OSError("Generic LocalFileSystem error: Unable to open file: (os error 5)"),
        GenericError("Generic S3 error: error sending request"),
        OperationalError("", {}, sqlite3.OperationalError("database is locked")),
    ],
)
def test_what_may_pass(error: Exception) -> None:
    assert may_pass(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EISDIR, "is a directory"),
        OSError("Generic LocalFileSystem error: Unable to rename file (os error 21)"),
        PermissionDeniedError("not yours"),
        NotFoundError("gone"),
        IntegrityError("", {}, sqlite3.IntegrityError("not unique")),
        NotOnnx("not a model"),
        StorageFull("full"),
        MemoryError(),
        KeyError(),
    ],
)
def test_what_does_not(error: Exception) -> None:
    assert not may_pass(error)
