"""What the clients of file systems raise, in one sentence for the user."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from trainwright.data.ranged import ChecksumError, CutOffError
from trainwright.data.retry import NoAnswerError, lacks_credentials
from trainwright.data.transfer import broken_off, unreachable
from trainwright.data.urls import public_name, scheme_of
from trainwright.foundation.errors import DataError, UserError


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn whatever a file system raises about a URL into one sentence.

    Raises:
        DataError: it cannot be read, and why.
    """
    name = public_name(url)
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(
            f"'{scheme_of(url)}://' needs a package that is not installed",
            where=name,
            fix=reason[:1].lower() + reason[1:],
        ) from error
    except NoAnswerError as error:
        raise DataError(
            f"there is no answer within {error} seconds", where=name, fix="check the address and the network"
        ) from error
    except ChecksumError as error:
        raise DataError(
            f"what arrives is not what the store has by its own word ({error})",
            where=name,
            fix="run it again, and check what stands between this machine and the store",
        ) from error
    except CutOffError as error:
        raise broken_off(url) from error
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=name, fix="check the address") from error
    except PermissionError as error:
        raise DataError("the server refuses access", where=name, fix="check the credentials") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise
        raise unreachable(url, error) from error
    except Exception as error:  # clients of file systems raise errors of their own
        if lacks_credentials(error):
            raise DataError("there are no credentials for it", where=name, fix="set them up") from error
        raise unreachable(url, error) from error
