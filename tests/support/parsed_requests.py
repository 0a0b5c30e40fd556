"""What `RequestParser` reads from a stream."""

from collections.abc import Iterable

from webhook.server.request_parser import MalformedRequest, RequestParser


def parse_requests(pieces: Iterable[bytes]) -> list[bytes | int]:
    """Return the body of each request, and the HTTP status of a refusal; nothing is read behind the last request."""
    parser = RequestParser()
    found: list[bytes | int] = []
    for piece in pieces:
        rest = piece
        while rest:
            try:
                rest = rest[parser.feed(rest) :]
            except MalformedRequest as error:
                return [*found, error.status]
            if parser.is_complete:
                found.append(bytes(parser.body))
                if parser.head is None or not parser.head.keeps_alive:
                    return found
                parser.start_next()
    return found
