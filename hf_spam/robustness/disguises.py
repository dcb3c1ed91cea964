"""Tables of what stands for what: marks that nobody sees, digits for letters, other words."""

from collections.abc import Mapping

# What a perturbation hides in a word. The normaliser removes every format character, not these alone.
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u00ad"

LEET: Mapping[str, str] = {"a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!", "l": "1", "o": "0", "s": "5$", "t": "7"}

# Combining marks that leave a letter readable, as in "fŕéé".
MARKS = "\u0300\u0301\u0302\u0303\u0308"

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "account": ("profile",),
    "award": ("honour",),
    "awarded": ("granted",),
    "call": ("ring", "phone"),
    "cash": ("money", "notes"),
    "chance": ("opportunity",),
    "claim": ("collect", "pick up"),
    "congratulations": ("well done",),
    "contact": ("reach",),
    "customer": ("client",),
    "dating": ("meeting",),
    "delivery": ("shipping",),
    "draw": ("raffle",),
    "free": ("at no cost", "complimentary"),
    "gift": ("present",),
    "guaranteed": ("assured", "certain"),
    "landline": ("home phone",),
    "latest": ("newest",),
    "mobile": ("handset", "cell"),
    "now": ("at once", "today"),
    "offer": ("deal",),
    "phone": ("handset",),
    "prize": ("reward",),
    "reply": ("answer", "write back"),
    "ringtone": ("tune",),
    "selected": ("chosen", "picked"),
    "send": ("mail",),
    "service": ("help",),
    "stop": ("quit", "end"),
    "text": ("message",),
    "txt": ("message", "msg"),
    "urgent": ("important", "pressing"),
    "voucher": ("coupon",),
    "weekly": ("each week",),
    "win": ("gain", "get"),
    "winner": ("lucky one",),
    "won": ("gained", "got"),
}
