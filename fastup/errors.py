"""The errors that fastup raises for what a person can put right. Imports nothing."""


class FastupError(Exception):
    """Something is wrong with a file, a folder or an option. The message says what and where, in one line."""


class DpxError(FastupError, ValueError):
    """A file is not a DPX, is damaged, or holds what fastup cannot read. Names the file, the field and the value."""


class DataError(FastupError, ValueError):
    """Frames that cannot be used, or not together: a pair is missing, sizes differ, a folder is empty, NaN."""


class OptionError(FastupError, ValueError):
    """An option has a value that cannot be used. The message names the option and the values that can."""
