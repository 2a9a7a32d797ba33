"""Training over several devices, and over several processes: each has its part of every batch."""

import contextlib
import os
from collections.abc import Iterator

from fastup.errors import OptionError

# By which a process knows that it is one of several, and where the first of them is: Keras', JAX' and Slurm's names.
_ONE_OF_MANY = "KERAS_DISTRIBUTION_JOB_ADDRESSES", "JAX_COORDINATOR_ADDRESS"


def use(devices: str) -> None:
    """Have Keras train on so many devices, or "all"; to be called before Keras has begun.

    A batch is shared by them, and the weights stay alike: by `keras.distribution.DataParallel` on JAX, by
    `tf.distribute.MirroredStrategy` on TensorFlow. Processors are one device, or as many as are asked for. On JAX,
    where the environment says that this process is one of several, as Keras, JAX or Slurm have it, the devices are
    those of all of them.

    OptionError if it is no number, there are not so many, or the backend is Torch, for which Keras 3.15 has no such
    training; if this is one of several processes on TensorFlow.
    """
    if devices != "all" and not (devices.isdecimal() and int(devices) > 0):
        raise OptionError(f"devices is {devices!r}, expected a number, or all")
    if devices != "all":
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", devices)  # before JAX begins
    from fastup.networks import quiet

    with quiet():
        from keras import backend, distribution

        several = int(os.environ.get("SLURM_NTASKS", 1)) > 1 or any(name in os.environ for name in _ONE_OF_MANY)
        if backend.backend() == "tensorflow" and not several:
            _mirror(devices)
            return
        if backend.backend() != "jax":
            how = "in one process" if backend.backend() == "tensorflow" else "on one"
            raise OptionError(
                f"devices is {devices}, but Keras runs on {backend.backend()}, on which it trains {how}; expected JAX: "
                "KERAS_BACKEND=jax"
            )
        if several:
            distribution.initialize()
        there = distribution.list_devices()
    _, processes = share()
    count = len(there) if devices == "all" else int(devices) * processes
    if count > len(there) or (processes > 1 and count != len(there)):
        raise OptionError(f"devices is {devices}, but there are {len(there) // processes}: {', '.join(there)}")
    data_parallel = distribution.DataParallel(devices=there[:count], auto_shard_dataset=False)
    distribution.set_distribution(data_parallel if count > 1 else None)


def _mirror(devices):
    """As `use`, on TensorFlow: what makes variables from now on makes them on each device."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and devices.isdecimal():
        (cpu,) = tf.config.list_physical_devices("CPU")
        with contextlib.suppress(RuntimeError):  # it has begun, with as many as there are
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(devices))
    there = [each.name for each in tf.config.list_logical_devices("GPU" if gpus else "CPU")]
    count = len(there) if devices == "all" else int(devices)
    if count > len(there):
        raise OptionError(f"devices is {devices}, but there are {len(there)}: {', '.join(there)}")
    tf.distribute.experimental_set_strategy(tf.distribute.MirroredStrategy(there[:count]) if count > 1 else None)


def count() -> int:
    """On how many devices a batch is trained."""
    from keras import backend, distribution

    if backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    found = distribution.distribution()
    return 1 if found is None else found.device_mesh.devices.size


def share() -> tuple[int, int]:
    """Which of the processes this is, from 0, and how many there are."""
    from keras import backend

    if backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def is_first() -> bool:
    """Whether this is the process that saves and prints."""
    return share()[0] == 0


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """In this context a batch is not shared: every device, and every process, makes all of it."""
    from keras import distribution

    before = distribution.distribution()
    distribution.set_distribution(None)
    try:
        yield
    finally:
        distribution.set_distribution(before)


def meet(what: str) -> None:
    """Wait until all processes are here."""
    if share()[1] > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)
