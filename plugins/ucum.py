"""Whether a unit is a UCUM unit, by the grammar and the atoms of the Unified Code for Units of Measure (version 2.1).

Case-sensitive: "mm", "mL", "10*3/uL", "[hnsf'U]", "mL/min/{1.73_m2}". Words such as "millimetres" are none.
"""

from __future__ import annotations

import re
from functools import lru_cache

_PREFIXES = ("Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", "d", "c", "m", "u", "n", "p", "f", "a", "z", "y")
_BINARY_PREFIXES = ("Ki", "Mi", "Gi", "Ti")
_METRIC = frozenset(
    (
        *("m", "s", "g", "rad", "K", "C", "cd"),
        *(
            "mol",
            "sr",
            "Hz",
            "N",
            "Pa",
            "J",
            "W",
            "A",
            "V",
            "F",
            "Ohm",
            "S",
            "Wb",
            "Cel",
            "T",
            "H",
            "lm",
            "lx",
            "Bq",
            "Gy",
        ),
        *("Sv", "l", "L", "ar", "t", "bar", "u", "eV", "pc", "[g]", "[c]", "[h]", "[k]", "[eps_0]", "[mu_0]", "[e]"),
        *(
            "[m_e]",
            "[m_p]",
            "[G]",
            "[ly]",
            "gf",
            "Kay",
            "Gal",
            "dyn",
            "erg",
            "P",
            "Bi",
            "St",
            "Mx",
            "G",
            "Oe",
            "Gb",
            "sb",
        ),
        *("Lmb", "ph", "Ci", "R", "RAD", "REM", "cal_[15]", "cal_[20]", "cal_m", "cal_IT", "cal_th", "cal", "[Btu]"),
        *(
            "tex",
            "m[H2O]",
            "m[Hg]",
            "mho",
            "eq",
            "osm",
            "kat",
            "U",
            "[iU]",
            "[IU]",
            "Np",
            "B",
            "B[SPL]",
            "B[V]",
            "B[mV]",
        ),
        *("B[uV]", "B[10.nV]", "B[W]", "B[kW]", "st", "bit", "By", "Bd", "g%", "[S]"),
    )
)
"""Atoms that take a prefix."""
_OTHER = frozenset(
    (
        *(
            "10*",
            "10^",
            "[pi]",
            "%",
            "[ppth]",
            "[ppm]",
            "[ppb]",
            "[pptr]",
            "circ",
            "gon",
            "deg",
            "'",
            "''",
            "min",
            "h",
            "d",
        ),
        *("a", "a_t", "a_j", "a_g", "wk", "mo", "mo_s", "mo_j", "mo_g", "atm", "AU", "att", "bit_s", "sph", "b", "Ao"),
        *(
            "[in_i]",
            "[ft_i]",
            "[yd_i]",
            "[mi_i]",
            "[lb_av]",
            "[oz_av]",
            "[gr]",
            "[foz_us]",
            "[pt_us]",
            "[gal_us]",
            "[degF]",
        ),
        *("[degR]", "[in_i'H2O]", "[in_i'Hg]", "[diop]", "[p'diop]", "[mesh_i]", "[Ch]", "[drp]", "[hnsf'U]", "[MET]"),
        *(
            "[hp'_X]",
            "[pH]",
            "[HPF]",
            "[LPF]",
            "[arb'U]",
            "[USP'U]",
            "[CFU]",
            "[PFU]",
            "[FFU]",
            "[BAU]",
            "[AU]",
            "[todd'U]",
        ),
        *("[APL'U]", "[GPL'U]", "[MPL'U]", "[beth'U]", "[Lf]", "[ka'U]", "[knk'U]", "[mclg'U]", "[tb'U]", "[bdsk'U]"),
        *(
            "[car_Au]",
            "[smoot]",
            "[m/s2/Hz^0.5]",
            "[kn_i]",
            "[sin_i]",
            "[cin_i]",
            "[sft_i]",
            "[cft_i]",
            "[g%]",
            "[lbf_av]",
        ),
        *("[psi]", "[EID_50]", "[TCID_50]", "[CCID_50]", "[D'ag'U]", "[FEU]", "[ELU]", "[EU]", "[anti'Xa'U]", "[IR]"),
        *(
            "m/s2/Hz^0.5",
            "[dye'U]",
            "[smgy'U]",
            "[Amb'a'1'U]",
            "[CAE]",
            "[PNU]",
            "[GPL]",
            "[nmi_i]",
            "[fth_i]",
            "[dr_av]",
        ),
    )
)
_SIMPLE = re.compile(r"(?P<atom>.+?)(?P<exponent>[+-]?\d+)?")
_TOKEN = re.compile(r"\{[!-z|~]*\}|\[[^\]\s]*\]|[./()]|[^\[\]{}./()\s]+")


@lru_cache(maxsize=1024)
def is_unit(code: str) -> bool:
    """Whether `code` is a UCUM expression: units with prefixes, exponents, annotations, products and quotients."""
    tokens = _TOKEN.findall(code)
    if not tokens or "".join(tokens) != code:
        return False
    place = _term(tokens, 0)
    return place == len(tokens)


def _term(tokens: list[str], place: int) -> int:
    """Where a term ends that begins here; -1 where there is none."""
    if place < len(tokens) and tokens[place] == "/":
        place += 1
    while True:
        place = _component(tokens, place)
        if place < 0 or place >= len(tokens) or tokens[place] not in {".", "/"}:
            return place
        place += 1


def _component(tokens: list[str], place: int) -> int:
    if place >= len(tokens):
        return -1
    if tokens[place] == "(":
        place = _term(tokens, place + 1)
        return place + 1 if 0 < place < len(tokens) and tokens[place] == ")" else -1
    if tokens[place].startswith("{") and _component(tokens, place + 1) > 0 and tokens[place + 1][0] not in "{(":
        return _component(tokens, place + 1)  # as DICOM writes "{SUVbw}g/ml" (CID 85)
    text, end = "", place
    while end < len(tokens) and tokens[end] not in {".", "/", "(", ")"} and not tokens[end].startswith("{"):
        text, end = text + tokens[end], end + 1
    annotated = end < len(tokens) and tokens[end].startswith("{")
    if not text:
        return end + 1 if annotated else -1
    if not _is_simple(text):
        return -1
    return end + 1 if annotated else end


def _is_simple(text: str) -> bool:
    """A number, or an atom with its prefix and exponent."""
    if text.isascii() and text.isdigit():
        return True
    match = _SIMPLE.fullmatch(text)
    assert match is not None, text
    return any(_is_atom(atom) for atom in (text, match["atom"]))


def _is_atom(text: str) -> bool:
    if text in _METRIC or text in _OTHER:
        return True
    if any(text.startswith(prefix) and text[len(prefix) :] in _METRIC for prefix in _PREFIXES):
        return True
    return any(text.startswith(prefix) and text[len(prefix) :] in {"bit", "By"} for prefix in _BINARY_PREFIXES)
