"""The page that asks for the password. It stands alone: before the login no file of the app is served."""

from __future__ import annotations

from ltx_wizard.ui.components import Markup, h

_STYLE = """
:root{color-scheme:light dark;--bg:#f4f5f8;--card:#fff;--text:#171a21;--muted:#5d6675;--line:#dfe3ea;--accent:#4f46e5}
@media(prefers-color-scheme:dark){:root{--bg:#0f1115;--card:#181b21;--text:#eceef2;--muted:#9aa3b2;--line:#2a2f39;--accent:#7c75f2}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--bg);
color:var(--text);font:15px/1.5 "IBM Plex Sans","Segoe UI",system-ui,sans-serif}
form{width:min(380px,92vw);background:var(--card);border:1px solid var(--line);border-radius:16px;padding:32px;
display:grid;gap:14px}h1{font-size:20px;margin:0}p{margin:0;color:var(--muted)}label{display:grid;gap:6px;font-weight:600}
input{font:inherit;padding:10px 12px;border:1px solid var(--line);border-radius:10px;background:transparent;color:inherit}
button{font:inherit;font-weight:600;padding:11px;border:0;border-radius:10px;background:var(--accent);color:#fff;cursor:pointer}
.bad{color:#c62a2f}
"""


def login_page(problem: str = "") -> str:
    """The whole page."""
    form = h(
        "form",
        h("h1", "LTX Wizard"),
        h("p", "The name and the password stand in the console where the app was started."),
        h("p.bad", problem, role="alert") if problem else None,
        h("label", "Name", h("input", name="username", value="wizard", autocomplete="username")),
        h(
            "label",
            "Password",
            h("input", name="password", type="password", autocomplete="current-password", autofocus=True),
        ),
        h("button", "Log in", type="submit"),
        method="post",
        action="/login",
    )
    head = h("head", h("meta", charset="utf-8"), h("title", "LTX Wizard"), h("style", Markup(_STYLE)))
    viewport = Markup('<meta name="viewport" content="width=device-width,initial-scale=1">')
    return f"<!doctype html>{h('html', head, viewport, h('body', form), lang='en')}"
