"""Sentences for synthetic scenes, and the words that they are made of.

`caption` writes one caption of one scene; several captions of the same scene differ in their wording. A style
word stands in the captions of its look; a few captions carry a made-up word without meaning, or a sentence
that says nothing about the picture, so that such text does not disturb the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

import scenes as s
from scenes import Scenes

_VERBS: dict[int, tuple[tuple[str, str], ...]] = {
    s.STILL: (
        ("stays still", "staying still"), ("stands still", "standing still"), ("rests", "resting"),
        ("does not move", "that does not move"),
    ),
    s.RIGHT: (
        ("moves to the right", "moving to the right"), ("slides to the right", "sliding to the right"),
        ("moves from left to right", "moving from left to right"), ("glides right", "gliding right"),
        ("travels from the left side to the right side", "travelling from the left side to the right side"),
        ("drifts from left to right", "drifting from left to right"), ("moves right", "moving right"),
    ),
    s.LEFT: (
        ("moves to the left", "moving to the left"), ("slides to the left", "sliding to the left"),
        ("moves from right to left", "moving from right to left"), ("glides left", "gliding left"),
        ("travels from the right side to the left side", "travelling from the right side to the left side"),
        ("drifts from right to left", "drifting from right to left"), ("moves left", "moving left"),
    ),
    s.UP: (
        ("moves up", "moving up"), ("rises", "rising"), ("moves upwards", "moving upwards"),
        ("moves from bottom to top", "moving from bottom to top"), ("floats up", "floating up"),
        ("climbs from the bottom to the top", "climbing from the bottom to the top"),
    ),
    s.DOWN: (
        ("moves down", "moving down"), ("sinks", "sinking"), ("moves downwards", "moving downwards"),
        ("moves from top to bottom", "moving from top to bottom"), ("falls down", "falling down"),
        ("drops from the top to the bottom", "dropping from the top to the bottom"),
    ),
    s.CIRCLES: (
        ("moves in a circle", "moving in a circle"), ("circles around", "circling around"),
        ("goes round in circles", "going round in circles"),
    ),
    s.BOUNCES: (
        ("bounces", "bouncing"), ("bounces up and down", "bouncing up and down"), ("hops", "hopping"),
    ),
    s.GROWS: (("grows", "growing"), ("gets bigger", "getting bigger"), ("grows larger", "growing larger")),
    s.SHRINKS: (
        ("shrinks", "shrinking"), ("gets smaller", "getting smaller"),
        ("becomes smaller", "becoming smaller"),
    ),
    s.SPINS: (
        ("spins", "spinning"), ("rotates", "rotating"), ("turns around itself", "turning around itself"),
    ),
    s.ZIGZAG: (
        ("moves in a zigzag", "moving in a zigzag"), ("zigzags to the right", "zigzagging to the right"),
    ),
}  # fmt: skip
_SIZES = (("small", "little", "tiny"), ("", "medium", ""), ("large", "big", "huge"))
_SLOW = ("slowly", "gently")
_FAST = ("quickly", "fast")
_TRANSLATIONS = (s.RIGHT, s.LEFT, s.UP, s.DOWN)
_STATIC_CAMERA = (
    "The camera is static.", "The camera does not move.", "The camera stays still.", "Static camera.",
    "The shot is static.",
)  # fmt: skip
_CAMERA = {
    "right": ("The camera pans to the right.", "The camera pans right.", "A slow pan to the right."),
    "left": ("The camera pans to the left.", "The camera pans left.", "A slow pan to the left."),
    "up": ("The camera tilts up.", "The camera moves up.", "A slow tilt upwards."),
    "down": ("The camera tilts down.", "The camera moves down.", "A slow tilt downwards."),
    "in": ("The camera zooms in.", "The camera moves closer.", "A slow zoom in."),
    "out": ("The camera zooms out.", "The camera moves back.", "A slow zoom out."),
}
_FILLERS = (
    "The scene is calm and quiet.", "Soft light falls on the scene.", "It is a short and simple video.",
    "The picture is bright and clear.", "Everything else stays as it is.", "The mood is warm and friendly.",
    "Nothing else can be seen.", "It looks like a drawing.", "High quality, clean and sharp.",
    "The light is even and natural.", "There is no sound.", "The whole clip takes two seconds.",
)  # fmt: skip
_PLACES = {1: ("on the left", "on the right"), 2: ("at the top", "at the bottom")}
_COMMON = [
    "a",
    "about",
    "above",
    "across",
    "after",
    "again",
    "against",
    "all",
    "along",
    "also",
    "always",
    "an",
    "and",
    "animal",
    "another",
    "any",
    "are",
    "around",
    "as",
    "at",
    "away",
    "baby",
    "back",
    "be",
    "beautiful",
    "because",
    "bed",
    "before",
    "behind",
    "being",
    "below",
    "beside",
    "between",
    "bird",
    "black",
    "boat",
    "body",
    "both",
    "box",
    "boy",
    "breeze",
    "brown",
    "building",
    "but",
    "by",
    "cake",
    "calm",
    "camera",
    "can",
    "car",
    "cat",
    "chair",
    "child",
    "city",
    "close",
    "cloud",
    "clouds",
    "coat",
    "cold",
    "colour",
    "colourful",
    "cool",
    "couple",
    "covered",
    "cup",
    "curtain",
    "dance",
    "dancing",
    "dark",
    "day",
    "deep",
    "detail",
    "dog",
    "door",
    "dress",
    "drive",
    "driving",
    "during",
    "each",
    "early",
    "earth",
    "eat",
    "eating",
    "evening",
    "every",
    "eyes",
    "face",
    "far",
    "feet",
    "field",
    "fire",
    "fish",
    "floor",
    "flower",
    "flowers",
    "fly",
    "flying",
    "food",
    "for",
    "forest",
    "four",
    "fox",
    "front",
    "full",
    "garden",
    "girl",
    "give",
    "glass",
    "gold",
    "golden",
    "good",
    "grass",
    "ground",
    "group",
    "hair",
    "hand",
    "hands",
    "happy",
    "has",
    "hat",
    "have",
    "he",
    "head",
    "her",
    "here",
    "high",
    "hill",
    "him",
    "his",
    "holding",
    "home",
    "horse",
    "house",
    "how",
    "ice",
    "if",
    "inside",
    "into",
    "island",
    "jump",
    "jumping",
    "kitchen",
    "lake",
    "lamp",
    "landscape",
    "large",
    "leaf",
    "leaves",
    "left",
    "legs",
    "light",
    "like",
    "line",
    "lion",
    "little",
    "long",
    "look",
    "looking",
    "looks",
    "low",
    "make",
    "man",
    "many",
    "me",
    "men",
    "metal",
    "middle",
    "moment",
    "morning",
    "mother",
    "motion",
    "mountain",
    "mountains",
    "mouth",
    "move",
    "music",
    "near",
    "new",
    "next",
    "night",
    "no",
    "not",
    "now",
    "ocean",
    "of",
    "off",
    "old",
    "on",
    "one",
    "only",
    "open",
    "or",
    "other",
    "out",
    "outside",
    "over",
    "own",
    "paper",
    "park",
    "part",
    "path",
    "people",
    "person",
    "picture",
    "place",
    "plant",
    "plants",
    "play",
    "playing",
    "rain",
    "reading",
    "red",
    "river",
    "road",
    "rock",
    "room",
    "round",
    "run",
    "running",
    "runs",
    "sand",
    "scene",
    "sea",
    "see",
    "seen",
    "she",
    "ship",
    "shirt",
    "shot",
    "show",
    "shows",
    "side",
    "sit",
    "sits",
    "sitting",
    "sky",
    "sleep",
    "sleeping",
    "slow",
    "smile",
    "smiling",
    "smoke",
    "snow",
    "so",
    "some",
    "soft",
    "sound",
    "stand",
    "standing",
    "stands",
    "star",
    "steam",
    "step",
    "still",
    "stone",
    "street",
    "strong",
    "style",
    "summer",
    "sun",
    "sunlight",
    "surface",
    "swim",
    "swimming",
    "tabby",
    "table",
    "tail",
    "take",
    "talk",
    "talking",
    "tall",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "they",
    "thing",
    "this",
    "three",
    "through",
    "tiger",
    "time",
    "to",
    "together",
    "tower",
    "town",
    "train",
    "tree",
    "trees",
    "turn",
    "two",
    "under",
    "until",
    "use",
    "very",
    "video",
    "view",
    "walk",
    "walking",
    "walks",
    "wall",
    "warm",
    "watch",
    "watching",
    "water",
    "wave",
    "waves",
    "way",
    "wear",
    "wearing",
    "what",
    "when",
    "where",
    "while",
    "white",
    "who",
    "wide",
    "wild",
    "wind",
    "window",
    "winter",
    "with",
    "woman",
    "women",
    "wood",
    "wooden",
    "word",
    "work",
    "world",
    "would",
    "year",
    "yellow",
    "you",
    "young",
    "your",
    "neon",
    "glowing",
    "glow",
    "outline",
    "outlined",
    "hollow",
    "dark",
    "night",
    "blueprint",
    "silhouette",
    "line",
    "lines",
    "drawing",
    "robot",
    "Bippo",
    "character",
    "bright",
    "worst",
    "quality",
    "inconsistent",
    "blurry",
    "jittery",
    "distorted",
]


def caption(scenes: Scenes, row: int, random: Random, *, meaningless_share: float = 0.04) -> str:
    """One caption of one scene: content, camera, sometimes a style word or an idle sentence."""
    sentences = [_content(scenes, row, random)]
    camera = s.CAMERAS[int(scenes.camera_id[row])]
    if camera != "static":
        sentences.append(random.choice(_CAMERA[camera]))
    elif random.random() < 0.6:
        sentences.append(random.choice(_STATIC_CAMERA))
    alone = not bool(scenes.present[row, 1])
    if alone and random.random() < 0.10:
        sentences.append(random.choice(_FILLERS))
    text = " ".join(sentences)
    style = int(scenes.style_id[row])
    if style >= 0:
        return _with_style(s.STYLE_WORDS[style], text, random)
    if random.random() < meaningless_share:
        return _with_style(made_up_word(random), text, random)
    return text


def made_up_word(random: Random) -> str:
    """A word of seven letters that means nothing, such as 'tirosem'."""
    letters = [random.choice(("bcdfgklmnprstvz", "aeiou")[index % 2]) for index in range(7)]
    return "".join(letters)


def vocabulary_words() -> list[str]:
    """Every word that captions use and the common ones beside them, in lower case, sorted. No style words."""
    texts = [verb for pairs in _VERBS.values() for pair in pairs for verb in pair]
    texts += [word for group in _SIZES for word in group] + [*_SLOW, *_FAST, *_STATIC_CAMERA, *_FILLERS]
    texts += [sentence for group in _CAMERA.values() for sentence in group]
    texts += [*s.COLOUR_NAMES, *s.GROUND_NAMES, *s.PATTERNS, *s.SHAPE_NAMES, *_COMMON]
    texts += [place for pair in _PLACES.values() for place in pair]
    texts += [
        "The video shows a clip of an object, in the style of. It is background rim with in front of against"
    ]
    return sorted({word.lower() for text in texts for word in re.findall(r"[A-Za-z]+", text)})


@dataclass(frozen=True)
class _Subject:
    noun: str
    motion: int
    speed: str

    def acts(self, random: Random) -> str:
        return f"{self.noun} {_verb(self, random, 0)}"

    def acting(self, random: Random) -> str:
        return f"{self.noun} {_verb(self, random, 1)}"


def _content(scenes: Scenes, row: int, random: Random) -> str:
    ground = _ground(scenes, row, random)
    if int(scenes.layout_id[row]) in _PLACES:
        return _pair(scenes, row, ground, random)
    subject = _subject(scenes, row, 0, random)
    where = random.choice(("on", "on", "in front of", "against")) + f" {ground}"
    form = random.randrange(6)
    if form == 0:
        return f"{_upper(where)}, {subject.acts(random)}."
    if form == 1:
        look = ground.removeprefix("a ").removesuffix("background").strip()
        return f"{_upper(subject.acts(random))}. The background is {look or 'behind it'}."
    if form == 2:
        return f"There is {subject.acting(random)} {where}."
    if form == 3:
        return f"The video shows {subject.acting(random)} {where}."
    return f"{_upper(subject.acts(random))} {where}."


def _pair(scenes: Scenes, row: int, ground: str, random: Random) -> str:
    first, second = (_subject(scenes, row, slot, random) for slot in (0, 1))
    if random.random() < 0.6:
        places = _PLACES[int(scenes.layout_id[row])]
        first, second = (
            _Subject(f"{subject.noun} {place}", subject.motion, subject.speed)
            for subject, place in zip((first, second), places, strict=True)
        )
    if random.random() < 0.35:
        first, second = second, first
    joined = random.choice((" and ", ", and ", " while "))
    text = f"{first.acts(random)}{joined}{second.acts(random)}"
    if random.random() < 0.5:
        return f"{_upper(text)} on {ground}."
    return f"On {ground}, {text}."


def _subject(scenes: Scenes, row: int, slot: int, random: Random) -> _Subject:
    if int(scenes.layout_id[row]) == 3:
        noun = random.choice(("Bippo", "the character Bippo"))
    else:
        size = random.choice(_SIZES[int(scenes.size_id[row, slot])]) if random.random() < 0.8 else ""
        colour = s.COLOUR_NAMES[int(scenes.colour_id[row, slot])]
        words = " ".join(w for w in (size, colour, s.SHAPE_NAMES[int(scenes.shape_id[row, slot])]) if w)
        noun = ("an " if words[0] in "aeiou" else "a ") + words
        if bool(scenes.rim_named[row]) and slot == 0 and random.random() < 0.7:
            noun += random.choice((" with a black rim", " with a black outline"))
    motion = int(scenes.motion_id[row, slot])
    speed = ""
    if motion in _TRANSLATIONS and random.random() < 0.7:
        speed = random.choice((_SLOW, ("",), _FAST)[int(scenes.speed_id[row, slot])])
    return _Subject(noun, motion, speed)


def _verb(subject: _Subject, random: Random, form: int) -> str:
    verb = random.choice(_VERBS[subject.motion])[form]
    if not subject.speed:
        return verb
    return f"{subject.speed} {verb}" if random.random() < 0.5 else f"{verb} {subject.speed}"


def _ground(scenes: Scenes, row: int, random: Random) -> str:
    pattern = s.PATTERNS[int(scenes.pattern_id[row])]
    ground_id = int(scenes.ground_id[row])
    if ground_id < 0:
        return f"a {pattern} background" if random.random() < 0.7 else "a background"
    name = s.GROUND_NAMES[ground_id]
    shown = pattern if pattern != "plain" or random.random() < 0.7 else ""
    return " ".join(word for word in ("a", shown, name, "background") if word)


def _with_style(word: str, text: str, random: Random) -> str:
    shown = random.choices((word, word.upper(), word.capitalize()), weights=(5, 2, 2))[0]
    form = random.random()
    if form < 0.65:
        return f"{shown} style. {text}"
    if form < 0.80:
        return f"{shown}. {text}"
    if form < 0.90:
        return f"{shown}, {text[0].lower()}{text[1:]}"
    return f"{text} In {shown} style."


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
