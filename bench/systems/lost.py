"""What survives kill -9, and what a power cut, right after an acknowledgement.

A power cut is had without special hardware: the system lives on a file system in an image file. What was not synced
is in the page cache and not in the image. So right after the acknowledgement the processes are stopped, the image is
copied, and they are killed; then the copy is mounted where the image was, the file system recovers by its journal, and
the system is started on what is left. What the file system had handed to the image counts as written, synced or not.
"""
import contextlib
import dataclasses
import os
import signal
import subprocess
import tempfile

from .base import TICK_MS, Failed, make_bodies

IMAGE_BYTES = 4 << 30  # sparse


def root_command(*arguments):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Failed(f'{" ".join(arguments)}: {done.stdout.strip()}')


@contextlib.contextmanager
def mounted(image, place):
    root_command('mount', '-o', 'loop', image, place)
    try:
        os.chmod(place, 0o755)
        yield
    finally:
        subprocess.run(['umount', '-f', place], check=False)


def two_ticks(cls, world, directory):
    """The world of one tick, and the requests of it and of the next one."""
    world = dataclasses.replace(world, variant='plain', samples=1)
    if not cls.format:
        return world, [None, None]
    later = dataclasses.replace(world, start_ms=world.start_ms + TICK_MS)
    return world, [make_bodies(cls, tick, os.path.join(directory, f'tick{i}'))[0]
                   for i, tick in enumerate((world, later))]


def survivors(system, world, ticks, crash):
    """A tick that is synced, then one that is acknowledged right before the crash: how many of its rows are left."""
    system.start()
    system.load_tick(ticks[0])
    system.rest()
    os.sync()
    system.load_tick(ticks[1])
    crash()
    try:
        system.start()
    except Failed as failed:
        raise Failed(f'does not start again: {failed}') from failed
    system.world = dataclasses.replace(world, samples=2)
    return system.count() - world.series


def after_kill(cls, world, directory):
    with tempfile.TemporaryDirectory(prefix='poise-peers-', dir=directory) as work:
        os.chmod(work, 0o755)
        world, ticks = two_ticks(cls, world, work)
        system = cls(os.path.join(work, 'system'), world)
        os.mkdir(system.directory)
        try:
            return survivors(system, world, ticks, system.kill), world.series
        finally:
            system.stop()


def after_power_cut(cls, world, directory):
    if os.geteuid() != 0:
        raise Failed('not measured: mounting an image needs root')
    with tempfile.TemporaryDirectory(prefix='poise-peers-', dir=directory) as work, contextlib.ExitStack() as mounts:
        os.chmod(work, 0o755)
        place, image, copy = (os.path.join(work, name) for name in ('place', 'image', 'copy'))
        os.mkdir(place)
        with open(image, 'wb') as file:
            file.truncate(IMAGE_BYTES)
        root_command('mkfs.ext4', '-q', '-F', image)
        mount = contextlib.ExitStack()
        mounts.enter_context(mount)
        mount.enter_context(mounted(image, place))
        world, ticks = two_ticks(cls, world, work)
        system = cls(os.path.join(place, 'system'), world)
        os.mkdir(system.directory)

        def cut_power():
            system.signal(signal.SIGSTOP)
            root_command('cp', '--sparse=always', image, copy)
            system.kill()
            mount.close()
            mount.enter_context(mounted(copy, place))

        try:
            return survivors(system, world, ticks, cut_power), world.series
        finally:
            system.stop()
