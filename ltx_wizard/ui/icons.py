"""Line icons, 24 x 24, drawn for this app; and the pictures of the goals."""

from __future__ import annotations

_PATHS: dict[str, str] = {
    "check": '<path d="M4.5 12.5l5 5 10-11"/>',
    "x": '<path d="M6 6l12 12M18 6L6 18"/>',
    "alert": '<path d="M12 4l9 16H3z"/><path d="M12 10v4.5M12 17.3v.2"/>',
    "info": '<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5M12 7.5v.2"/>',
    "dot": '<circle cx="12" cy="12" r="4"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "film": '<rect x="3" y="4.5" width="18" height="15" rx="2"/>'
    '<path d="M7.5 4.5v15M16.5 4.5v15M3 9.5h4.5M3 14.5h4.5M16.5 9.5H21M16.5 14.5H21"/>',
    "image": '<rect x="3" y="4.5" width="18" height="15" rx="2"/><circle cx="8.5" cy="10" r="1.7"/>'
    '<path d="M4 18l5.5-5 3.5 3 3-2.5 4.5 4"/>',
    "scissors": '<circle cx="6" cy="6.5" r="2.5"/><circle cx="6" cy="17.5" r="2.5"/>'
    '<path d="M8.2 8L20 17M8.2 16L20 7"/>',
    "text": '<path d="M5 6.5h14M5 11h14M5 15.5h9"/>',
    "shield": '<path d="M12 3.5l7.5 3v5.5c0 4.5-3.2 7.4-7.5 8.8-4.3-1.4-7.5-4.3-7.5-8.8V6.5z"/>'
    '<path d="M8.7 12l2.4 2.4 4.3-4.6"/>',
    "sliders": '<path d="M5 4v7M5 15v5M12 4v3M12 11v9M19 4v9M19 17v3M3 13h4M10 9h4M17 15h4"/>',
    "chart": '<path d="M4 4v16h16"/><path d="M7.5 9c2 6.5 5 7.5 11.5 8"/>',
    "box": '<path d="M12 3l8 4.3v9.4L12 21l-8-4.3V7.3z"/><path d="M4 7.3l8 4.4 8-4.4M12 11.7V21"/>',
    "target": '<circle cx="12" cy="12" r="8.5"/><circle cx="12" cy="12" r="4"/><path d="M12 12v.1"/>',
    "trash": '<path d="M4.5 7h15M9.5 7V4.5h5V7M6.5 7l1 13h9l1-13M10 11v5M14 11v5"/>',
    "copy": '<rect x="8.5" y="8.5" width="11.5" height="11.5" rx="2"/>'
    '<path d="M15.5 8.5V6a2 2 0 00-2-2H6a2 2 0 00-2 2v7.5a2 2 0 002 2h2.5"/>',
    "edit": '<path d="M4 20l1-4.5L16 4.5l3.5 3.5L8.5 19z"/><path d="M13.5 7l3.5 3.5"/>',
    "folder": '<path d="M3.5 6.5a1.5 1.5 0 011.5-1.5h4l2 2.5h8a1.5 1.5 0 011.5 1.5v8.5'
    'a1.5 1.5 0 01-1.5 1.5H5a1.5 1.5 0 01-1.5-1.5z"/>',
    "download": '<path d="M12 4v11M7.5 10.5L12 15l4.5-4.5M4.5 19.5h15"/>',
    "play": '<path d="M7.5 5l11 7-11 7z"/>',
    "pause": '<path d="M8.5 5.5v13M15.5 5.5v13"/>',
    "stop": '<rect x="6.5" y="6.5" width="11" height="11" rx="1.5"/>',
    "merge": '<path d="M5 5v14M19 5v14M8 12h8M13 8.5l3.5 3.5-3.5 3.5"/>',
    "eye_off": '<path d="M4 4l16 16M9.5 5.5A9.5 9.5 0 0112 5.2c5 0 8.3 4.2 9.3 6.8a13 13 0 01-2.6 3.8'
    'M6 7.6A13 13 0 002.7 12c1 2.6 4.3 6.8 9.3 6.8a9 9 0 004.2-1"/>',
    "sun": '<circle cx="12" cy="12" r="4"/><path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6L7 7'
    'M17 17l1.4 1.4M18.4 5.6L17 7M7 17l-1.4 1.4"/>',
    "clock": '<circle cx="12" cy="12" r="8.5"/><path d="M12 7v5.2l3.4 2"/>',
    "home": '<path d="M4 11.5L12 4.5l8 7M6.5 10v9.5h11V10"/><path d="M10 19.5v-5h4v5"/>',
    "sound": '<path d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z"/><path d="M15.5 9a4.2 4.2 0 010 6M18 6.5a8 8 0 010 11"/>',
    "spark": '<path d="M12 3.5l1.9 6.6 6.6 1.9-6.6 1.9L12 20.5l-1.9-6.6L3.5 12l6.6-1.9z"/>',
    "undo": '<path d="M8.5 5L4.5 9l4 4"/><path d="M5 9h9a5.5 5.5 0 010 11H9"/>',
    "arrow": '<path d="M5 12h14M13 6l6 6-6 6"/>',
    "chip": '<rect x="6.5" y="6.5" width="11" height="11" rx="1.5"/>'
    '<path d="M9.5 3.5v3M14.5 3.5v3M9.5 17.5v3M14.5 17.5v3M3.5 9.5h3M3.5 14.5h3M17.5 9.5h3M17.5 14.5h3"/>',
}

GOAL_PICTURES: dict[str, str] = {
    "style": '<rect class="p1" x="14" y="14" width="132" height="72" rx="8"/>'
    '<path class="a" d="M14 66c22-26 38-6 58-18s30-30 74-14v44a8 8 0 01-8 8H22a8 8 0 01-8-8z"/>'
    '<path class="b" d="M14 76c30-14 48 4 72-6s34-18 60-8v16a8 8 0 01-8 8H22a8 8 0 01-8-8z"/>'
    '<circle class="c" cx="112" cy="33" r="10"/><path class="l" d="M30 30c8-6 14 4 22-2s12 2 18-2"/>',
    "character": '<rect class="p1" x="14" y="14" width="132" height="72" rx="8"/><circle class="a" cx="80" cy="44" r="17"/>'
    '<path class="b" d="M46 86c2-20 16-27 34-27s32 7 34 27z"/><circle class="k" cx="74" cy="43" r="2.2"/>'
    '<circle class="k" cx="86" cy="43" r="2.2"/><path class="l" d="M74 51c4 4 8 4 12 0"/>'
    '<path class="f" d="M24 34V24h10M126 24h10v10M136 66v10h-10M34 76H24V66"/>',
    "motion": '<rect class="p1" x="14" y="14" width="132" height="72" rx="8"/>'
    '<circle class="g1" cx="44" cy="62" r="11"/><circle class="g2" cx="66" cy="44" r="11"/>'
    '<circle class="a" cx="104" cy="42" r="14"/><path class="f" d="M28 74c12-34 44-52 78-42"/>'
    '<path class="f" d="M98 22l11 11-13 6"/>',
    "control": '<rect class="p1" x="10" y="22" width="60" height="56" rx="7"/><rect class="p1" x="90" y="22" width="60" height="56" rx="7"/>'
    '<path class="f" d="M40 32v18M40 50L28 68M40 50l12 18M26 42h28"/><circle class="f" cx="40" cy="30" r="4"/>'
    '<circle class="a" cx="120" cy="36" r="7"/><path class="b" d="M106 72c0-18 5-27 14-27s14 9 14 27z"/>'
    '<path class="l" d="M73 50h13M82 45l5 5-5 5"/>',
    "detail": '<rect class="p1" x="14" y="14" width="132" height="72" rx="8"/>'
    '<path class="g1" d="M22 22h50v56H22z"/><path class="a" d="M88 22h50v56H88z"/>'
    '<path class="l" d="M94 64l8-12 8 8 8-18 8 14 6-8M94 34h12M94 40h20"/><path class="f" d="M80 16v68"/>'
    '<circle class="c" cx="80" cy="50" r="6"/>',
}


def icon_svg(name: str) -> str:
    return (
        '<svg class="wz-icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
        f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{_PATHS[name]}</svg>'
    )


def goal_svg(goal: str) -> str:
    return f'<svg class="wz-goal-art" viewBox="0 0 160 100" aria-hidden="true">{GOAL_PICTURES.get(goal, "")}</svg>'
