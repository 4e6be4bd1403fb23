"""PDF: the text of its pages, in their order; needs the extra `pdf`."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from trainwright.corpus.document import Document
from trainwright.corpus.extras import extra
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.reader import READERS, Asked, Reader, Slice
from trainwright.foundation.errors import DataError

_MAX_PAGES = 5_000


def read_pdf(part: Slice, asked: Asked, ledger: Ledger) -> Iterator[Document]:
    """Yield the text of a PDF.

    Raises:
        DataError: it is damaged, needs a password, or has too many pages.
        UserError: the package for it is not installed.
    """
    pypdf = extra("pypdf", need="PDF files", name="pdf")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it says, the sentence below says once
    try:
        file = pypdf.PdfReader(part.path)
        locked = file.is_encrypted and not file.decrypt("")
        num_pages = 0 if locked else len(file.pages)
        pages = file.pages if num_pages <= _MAX_PAGES else ()
        text = "" if locked else "\n\n".join(page.extract_text().strip() for page in pages)
    except Exception as error:  # a damaged PDF ends in whatever its parts are read by
        raise DataError(
            "the PDF is cut off or damaged", where=part.name, fix="copy or download it again"
        ) from error
    if locked:
        raise DataError("the PDF needs a password", where=part.name, fix="take the password off")
    if num_pages > _MAX_PAGES:
        raise DataError(f"the PDF has more than {_MAX_PAGES:,} pages", where=part.name, fix="split it up")
    if text.strip():
        yield Document(text, part.name, "", part.kind)
    else:
        ledger.leave("read", "PDF without text", 0, where=part.name)


READERS.register("pdf")(Reader(read_pdf, (".pdf",), lambda head: head.startswith(b"%PDF-")))
