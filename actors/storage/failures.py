"""A failed file operation in words for the user: which file, what happened, what helps."""

from __future__ import annotations

import errno
import os

from messages.job import Problem

_FREE_SPACE = "free some disk space, or choose a folder on another disk"
_PERMISSIONS = "change its permissions, or choose another place"
_REMEDIES = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: _FREE_SPACE,
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: "the disk is mounted read-only: choose a folder on another disk",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file: check the path",
    errno.EISDIR: "it is a folder: name a file",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs: the machine has too many files open",
    errno.EIO: "the disk reports an error: check it, or choose a folder on another one",
}


def problem_of(error: OSError, *, path: str, doing: str) -> Problem:
    """Return the failure as a problem.

    Args:
        error: what the operating system said.
        path: the place in the job that the problem belongs to, such as `source.path`.
        doing: what was being done, such as `cannot store row group 7`.
    """
    reason = error.strerror or str(error) or type(error).__name__
    where = "" if error.filename is None else f" ({os.fsdecode(error.filename)})"
    remedy = _REMEDIES.get(error.errno or 0, "check the disk and the path, then try again")
    return Problem(path=path, message=f"{doing}: {reason}{where}", remedy=remedy)
