#!/usr/bin/env python3
"""Write the golden tables beside this file, ordered by Python's packaging.

python3 testdata/golden.py   (pip carries the copy of packaging that is asked)

pairs.tsv       set, a, b, and -1, 0 or 1. Set A: any legal spelling; B: the
                same pairs as an index shows them; C: what is met in practice.
strings.tsv     a string, and its normal form and 1 for a pre-release; or "-"
                if it is no version.
specifiers.tsv  conditions, a version, and 1 if it meets them; "-" if they are
                malformed.
"""
import os
import random

import pip
from pip._vendor.packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet
from pip._vendor.packaging.version import InvalidVersion, Version

SEED = 440
HERE = os.path.dirname(os.path.abspath(__file__))
R = random.Random(SEED)


def some(*choices):
    return R.choice(choices)


def number():
    return some("0", "1", "2", "9", "10", "11", "99", "01", "007", "2026", "20260223", "18446744073709551615")


def release(top=4):
    return ".".join(some("0", "0", "1", "1", "2", "10", "03") for _ in range(R.randint(1, top)))


def case(s):
    return some(s, s, s.upper(), s.capitalize())


def legal():
    s = some("", "", "", "v", "V")
    s += some("", "", "", "", "0!", "1!", "01!")
    s += release()
    if R.random() < 0.45:
        s += some("", "-", "_", ".") + case(some("a", "b", "c", "rc", "alpha", "beta", "pre", "preview"))
        s += some("", some("", "-", "_", ".") + number())
    if R.random() < 0.35:
        s += some("-" + number(), some("", "-", "_", ".") + case(some("post", "rev", "r")) + some("", some("", "-", "_", ".") + number()))
    if R.random() < 0.35:
        s += some("", "-", "_", ".") + case("dev") + some("", some("", "-", "_", ".") + number())
    if R.random() < 0.25:
        words = [some("a", "abc", "ubuntu", "1", "2", "10", "001", "1a", "a1", "0") for _ in range(R.randint(1, 3))]
        s += "+" + some(".", "-", "_").join(case(w) for w in words)
    return some("", "", "", "", " ", "\n") + s + some("", "", "", "", " ")


def realistic():
    s = "%d.%d" % (R.randint(0, 2), R.randint(0, 11)) + some("", ".%d" % R.randint(0, 11))
    return s + some("", "", "a%d", "b%d", "rc%d", ".post%d", ".dev%d", "rc%d.dev1") .replace("%d", str(R.randint(0, 11)))


def near(make):
    """A pair whose release parts are often equal, so that the rest decides."""
    a, b = make(), make()
    if R.random() < 0.6:
        for _ in range(200):
            if Version(a).release == Version(b).release and Version(a).epoch == Version(b).epoch:
                break
            b = make()
    return a, b


def order(a, b):
    a, b = Version(a), Version(b)
    return (a > b) - (a < b)


def table(name, rows):
    with open(os.path.join(HERE, name), "w", encoding="utf-8", newline="\n") as f:
        f.write("# pip %s, seed %d; written by golden.py\n" % (pip.__version__, SEED))
        for row in rows:
            f.write("\t".join(str(c).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") for c in row) + "\n")


def pairs():
    a = [near(legal) for _ in range(2000)]
    c = [near(realistic) for _ in range(2000)]
    yield from (("A", x, y, order(x, y)) for x, y in a)
    yield from (("B", Version(x), Version(y), order(x, y)) for x, y in a)
    yield from (("C", x, y, order(x, y)) for x, y in c)


def strings():
    for _ in range(2000):
        s = legal()
        if R.random() < 0.6:
            at = R.randrange(len(s) + 1)
            s = s[:at] + some("", ".", "-", "_", "+", "!", "x", "*", " ", "1", "rc", "\0", "\x1b", "\\") + s[at + R.randint(0, 1):]
        try:
            v = Version(s)
        except InvalidVersion:
            yield s, "-", 0
            continue
        yield s, v, int(v.is_prerelease)


def condition():
    v = some(release(3), release(3), realistic(), some("3", "3.9", "3.10", "3.11.2", "v3.8", "3.08"))
    operator, wild = some("==", "!=", "<=", ">=", "<", ">", "~=", "===", "=", ""), some("", "", "", ".*")
    if wild or operator == "~=":
        v = str(Version(v))  # this packaging compares prefixes as they are spelled; newer ones do not
    return some("", " ") + operator + some("", " ") + v + wild


def specifiers():
    for _ in range(4000):
        conditions = some(",", ",", " , ", ",,").join(condition() for _ in range(some(1, 1, 1, 2, 3)))
        v = some(Version(realistic()), Version(release()), some("3.9", "3.10.4", "3.11.7", "3.12.0", "3.13"))
        try:
            [Specifier(c) for c in conditions.split(",") if c.strip()]  # a set would take legacy ones
            ok = int(SpecifierSet(conditions).contains(str(v), prereleases=True))
        except InvalidSpecifier:
            ok = "-"
        yield conditions, v, ok


table("pairs.tsv", pairs())
table("strings.tsv", strings())
table("specifiers.tsv", specifiers())
