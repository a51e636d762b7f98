"""The errors that a user can do something about."""


class UserError(Exception):
    """What was asked for cannot be done; the message says, in one line, what to do about it.

    The command line prints the message without a traceback and exits with code 2.
    """


class SourceError(Exception):
    """A source failed after audio had begun to flow: what came before it stands.

    The conversation ends with an `error` event, and the command line exits with code 1.
    """
