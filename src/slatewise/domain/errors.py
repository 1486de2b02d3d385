"""Every error this package raises on purpose. Knows nothing of doors: status codes live in ``http/errors.py``.

SlatewiseError
├── ConfigError        the operator must fix a setting
├── InputError         the caller must fix the request; nothing was written
│   └── Conflict       an event_id that another event has; nothing was written
├── NotFound           the thing asked for does not exist
├── Expired            the thing asked for was there once; start anew
├── NotReady           no bundle is loaded yet; retry later
├── Overloaded         shed on purpose; retry later
├── StageFailed        one component failed; the slate is served degraded
├── BundleError        a bundle is missing, corrupt, or of another build; the live one stays
├── StorageError       the store could not make a write durable, or is damaged
│   ├── StorageFull    the disk is full; reads and removals go on, writes when there is room again
│   ├── ReadOnly       the disk failed a write: reads go on, writes once the store is opened anew; or a read-only server
│   └── StorageLost    the database does not answer; goes on by itself once it does
├── SharedTierLost     the tier shared by caches did not answer; the process's own cache goes on
└── TrainingError      the data cannot be learned from as asked
"""


class SlatewiseError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(SlatewiseError):
    """A setting is missing, unknown, or contradicts another."""


class InputError(SlatewiseError):
    """The caller sent something we refuse. Names the field, the value and what would be right."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        shown = repr(value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        super().__init__(f"{field}: got {shown}, expected {expected}")
        self.field = field
        self.expected = expected


class Conflict(InputError):
    """An ``event_id`` came again with another user, item, action or value; nothing of its batch was written."""


class NotFound(SlatewiseError):
    """The user, item or bundle asked for does not exist."""


class Expired(SlatewiseError):
    """What was asked for existed once and is gone for good: the caller starts anew."""


class NotReady(SlatewiseError):
    """No bundle is loaded, so nothing can be ranked yet."""


class Overloaded(SlatewiseError):
    """The request was shed to protect the ones already accepted."""


class StageFailed(SlatewiseError):
    """One component failed or ran out of its budget; the line goes on without it."""

    def __init__(self, stage: str, component: str, reason: str) -> None:
        super().__init__(f"{stage}/{component}: {reason}")
        self.stage = stage
        self.component = component


class BundleError(SlatewiseError):
    """A bundle is missing, corrupt, or does not match this HOME."""


class StorageError(SlatewiseError):
    """The store could not make a write durable, or is damaged."""


class StorageFull(StorageError):
    """There is no room to make a write durable; nothing was stored. Reads and removals go on."""


class ReadOnly(StorageError):
    """Nothing is taken, reads go on: the disk failed an earlier write, until the store is opened anew, or a server is
    read-only, until it no longer is."""


class StorageLost(StorageError):
    """The database that holds the store does not answer. All goes on by itself once it does.

    `EventLog.append` raises it where nothing was stored; who reads afterwards may meet it with the write on disk.
    """


class SharedTierLost(SlatewiseError):
    """The tier that processes share did not answer, in time or at all."""


class TrainingError(SlatewiseError):
    """The data cannot be learned from as asked."""
