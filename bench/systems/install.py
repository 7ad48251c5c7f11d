"""Debian's packages of the systems, installed without leaving a service started or enabled."""
import os
import shutil
import subprocess
import sys

POLICY = '/usr/sbin/policy-rc.d'
SERVICES = {'victoria-metrics': ['victoria-metrics'], 'clickhouse-server': ['clickhouse-server'],
            'influxdb': ['influxdb'], 'prometheus': ['prometheus'], 'postgresql-15': ['postgresql']}
COMMON = ('libsnappy-dev',)  # for bench_bodies


def is_installed(package):
    done = subprocess.run(['dpkg-query', '-W', '-f', '${db:Status-Status}', package], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout == 'installed'


def as_root():
    if os.geteuid() == 0:
        return []
    if not shutil.which('sudo'):
        sys.exit('bench/peers: packages are missing; install them as root (there is no sudo here)')
    return ['sudo'] if sys.stdin.isatty() else ['sudo', '-n']


def root(*arguments, check=True, text=None):
    return subprocess.run([*as_root(), *arguments], input=text, stdin=None if text is not None else subprocess.DEVNULL,
                          stdout=sys.stderr, text=True, check=check)


def apt(*arguments, check=True):
    return root('env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-o', 'DPkg::Lock::Timeout=300', '-q', *arguments,
                check=check).returncode == 0


def forbid_starting():
    """Debian asks this file before it starts a service; returns whether it is ours."""
    if os.path.exists(POLICY):
        return False
    root('tee', POLICY, text='#!/bin/sh\n# of bench/peers, while it installs\nexit 101\n')
    root('chmod', '755', POLICY)
    return True


def disable(packages):
    for service in (name for package in packages for name in SERVICES.get(package, [])):
        if shutil.which('systemctl'):
            root('systemctl', 'disable', service, check=False)
            if os.path.isdir('/run/systemd/system'):
                root('systemctl', 'stop', service, check=False)


def install(packages):
    """What is missing of them. A service that was there before stays as it was."""
    missing = [package for package in (*COMMON, *packages) if not is_installed(package)]
    if not missing:
        return
    print(f'bench/peers: installing {" ".join(missing)}', file=sys.stderr, flush=True)
    had_cluster = os.path.exists('/etc/postgresql/15/main')
    ours = forbid_starting()
    try:
        wanted = ('install', '-y', '--no-install-recommends', *missing)
        if not apt(*wanted, check=False):
            apt('update')
            apt(*wanted)
    finally:
        if ours:
            root('rm', '-f', POLICY)
        disable(package for package in missing if is_installed(package))
        if 'postgresql-15' in missing and not had_cluster and os.path.exists('/etc/postgresql/15/main'):
            root('pg_dropcluster', '15', 'main', check=False)
