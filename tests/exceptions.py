"""Where house rules are still broken, and how often: exceptions.json, by rule and by notebook or file. Its numbers may only fall.

python -m pytest tests/test_house_rules.py --exceptions     writes it anew"""
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT/'tests'/'exceptions.json'
LISTED = json.loads(FILE.read_text(encoding='utf-8')) if FILE.exists() else {}
found, writing = {}, False   # writing: take note and fail nothing


def allowed(rule, owner, breaches):
    "No more breaches of a rule than are listed, and no fewer, so that the list shrinks with them"
    owner, listed = str(owner), LISTED.get(rule, {}).get(str(owner), 0)
    found.setdefault(rule, {})[owner] = len(breaches)
    if writing: return
    shown = '\n'.join(map(str, breaches[:40]))
    assert len(breaches) <= listed, f"{rule}: {len(breaches)} times; {listed} in tests/exceptions.json\n{shown}"
    assert len(breaches) == listed, f"{rule}: only {len(breaches)} of {listed} exceptions are needed: run pytest tests/test_house_rules.py --exceptions"


def exists(owner): return any((folder/owner).exists() for folder in (ROOT, ROOT/'nbs'))


def write():
    "What was found; for those that were not looked at, what is listed"
    rules = {rule: {**LISTED.get(rule, {}), **found.get(rule, {})} for rule in sorted(LISTED.keys() | found)}
    kept = {rule: {o: n for o, n in sorted(owners.items()) if n and exists(o)} for rule, owners in rules.items()}
    FILE.write_text(json.dumps({rule: owners for rule, owners in kept.items() if owners}, indent=1) + '\n', encoding='utf-8')
