"""What the bodies of the contract look like: exact members, types, formats."""

import datetime
import re

from client import Broken, need

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
STATUSES = {"requested", "accepted", "arrived", "in_progress", "completed", "cancelled", "expired"}
TERMINAL = {"completed", "cancelled", "expired"}
PAYMENT = {"pending", "authorised", "declined", "captured", "voided", "failed"}
ACTORS = {"passenger", "driver", "system"}


def instant(text):
    """A time of the contract: RFC 3339, UTC."""
    need(isinstance(text, str) and TIME.fullmatch(text), f"not an RFC 3339 UTC time: {text!r}")
    whole, _, fraction = text[:-1].partition(".")
    moment = datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return moment + datetime.timedelta(seconds=float("0." + (fraction or "0")))


def from_now(text):
    """Seconds from now to a time of the contract, by this machine's clock."""
    return (instant(text) - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


def number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def text(value):
    return isinstance(value, str) and value != ""


def one_of(values):
    return lambda value: value in values


def or_null(form):
    return lambda value: value is None or check(form, value) is None


def list_of(form):
    return lambda value: isinstance(value, list) and all(check(form, item) is None for item in value)


def time(value):
    return instant(value) is not None


MONEY = {"amount": whole, "currency": re.compile(r"[A-Z]{3}").fullmatch}
POINT = {"lat": number, "lng": number}
LOCATION = {"lat": number, "lng": number, "observed_at": time, "stale": lambda v: isinstance(v, bool)}
VEHICLE = {"plate": text, "model": text, "color": text}
DRIVER = {"id": text, "name": text, "rating": number, "contact": text, "vehicle": VEHICLE,
          "location": or_null(LOCATION)}
LINE = {"kind": text, "amount": MONEY}
CANCELLATION = {"by": one_of(ACTORS), "reason": text, "fee": or_null(MONEY)}
RIDE = {"id": text, "status": one_of(STATUSES), "status_at": time, "product": text, "pickup": POINT, "dropoff": POINT,
        "quote_id": text, "fare": MONEY, "payment_status": one_of(PAYMENT), "driver": or_null(DRIVER),
        "pickup_code": text, "pickup_eta_s": or_null(whole), "cancellation": or_null(CANCELLATION),
        "requested_at": time, "version": whole}
RIDE_FOR_DRIVER = {name: form for name, form in RIDE.items() if name != "pickup_code"}
OPTION = {"product": text, "display_name": text, "capacity": whole, "pickup_eta_s": whole, "fare": MONEY,
          "breakdown": list_of(LINE)}
QUOTE = {"quote_id": text, "expires_at": time, "distance_m": whole, "duration_s": whole, "surge": one_of({None}),
         "options": list_of(OPTION)}
CHALLENGE = {"challenge_id": text, "expires_at": time, "resend_after_s": whole}
TOKENS = {"access_token": text, "token_type": one_of({"Bearer"}), "expires_in": whole, "refresh_token": text,
          "passenger": {"id": text, "phone": text, "is_new": lambda v: isinstance(v, bool)}}
PROFILE = {"id": text, "phone": text, "name": or_null(text), "email": or_null(text), "locale": or_null(text),
           "created_at": time}
PRODUCT = {"id": text, "display_name": text, "capacity": whole, "pickup_eta_s": whole}
RECEIPT = {"ride_id": text, "lines": list_of(LINE), "total": MONEY, "payment_status": one_of(PAYMENT),
           "issued_at": time}
TRANSITION = {"from": one_of(STATUSES), "to": one_of(STATUSES), "by": list_of(one_of(ACTORS)),
              "timeout_s": or_null(whole)}


def check(form, value, where="body"):
    """Breaks the promise unless the value has exactly this form."""
    if isinstance(form, dict):
        need(isinstance(value, dict), f"{where} is not an object: {value!r}")
        missing, extra = form.keys() - value.keys(), value.keys() - form.keys()
        need(not missing, f"{where} lacks {sorted(missing)}")
        need(not extra, f"{where} has {sorted(extra)}, which the contract does not")
        for name, inner in form.items():
            check(inner, value[name], f"{where}.{name}")
        return
    try:
        fits = form(value)
    except (TypeError, Broken) as error:
        raise Broken(f"{where} = {value!r}: {error}") from error
    need(fits, f"{where} = {value!r}")


def adds_up(lines, total):
    """A fare or receipt is the sum of its lines."""
    need(sum(line["amount"]["amount"] for line in lines) == total["amount"], "the lines do not add up to the total")
