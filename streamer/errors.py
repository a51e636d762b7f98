"""The errors of streamer.

StreamerError
|-- UserError      what was asked for cannot be done
`-- SourceError    the audio broke off
"""


class StreamerError(Exception):
    """The base of all errors of streamer."""


class UserError(StreamerError):
    """A request cannot be met; the message says in one line what to do about it.

    The command line prints the message without a traceback and exits with code 2.
    """


class SourceError(StreamerError):
    """A source failed after audio had begun to flow; what came before it stands.

    The conversation ends with an `error` event, and the command line exits with code 1.
    """
