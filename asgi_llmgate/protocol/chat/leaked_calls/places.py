"""Where in a text a call may stand, and where the same words are only spoken of.

Outside of code fences, at the beginning of a line or, for special tokens, behind a sentence; and not in a text that
explains.  So the documentation of a syntax stays text, also where its last line is an example.
"""

from __future__ import annotations

import re

from asgi_llmgate.lazy_pattern import lazy_pattern

_FENCE = re.compile(r"\s*(`{3,}|~{3,})(.*)")
"""The line that opens or closes a block of code: https://spec.commonmark.org/0.31.2/#fenced-code-blocks"""

_MAX_LINE = 256
"""Characters at the beginning of a line that are kept."""

_MAX_INDENT = 3
"""A line that is indented further is code in Markdown."""

_SEEN = 200
"""Characters in front of a place that are searched."""

_EXPLAINS = lazy_pattern(
    r"\b(?:examples?|e\.g|for instance|formats?|formatted|syntax|templates?|parsers?|parsed?|parsing|tokens?|markers?"
    r"|tags?|delimiters?|wrapp(?:ed|er|ers|ing)|emit(?:s|ted|ting)?|outputs?|generat(?:es|ed)|produc(?:es|ed)|yields?"
    r"|prints?|printed|returns|returned|writes|sends|responds|looks? like|looked like|like (?:this|so|these)|as follows"
    r"|such as|following|(?:tool|function)[ _-]?(?:calls?|calling|use)|raw|literal(?:ly)?|verbatim|snippets?|samples?"
    r"|transcripts?|representations?|serializ\w+|renders?|rendered|encoded|completions?|xml|chatml"
    r"|contains?|containing|says|texts?|quot\w+"
    r"|(?:the|a|its) (?:model|llm|assistant)|hermes|qwen|llama|mistral|kimi|glm|deepseek|minimax|gpt-oss|harmony"
    r"|modell?[oe]?s?|modèle|beispiel|aufruf|exemple|appel|balises?|ejemplo|etiquetas?|llamada|exemplo|chamada|formatos?"
    r"|esempio|chiamata|модел\w*|формат\w*|вызов\w*|пример\w*)\b"
    r"|例如|示例|例子|格式|语法|如下|输出|标记|标签|模型|解析|例えば|形式|構文|出力|モデル|형식|예시|예를|모델|호출",
    re.IGNORECASE,
)
"""Words of a text that explains a syntax."""

_INTRODUCES = re.compile(r"#|\*\*.*\*\*$|(?!\w+ing\b).*[:：]$", re.IGNORECASE)
"""A heading, or a line that ends in a colon and does not say what the model is doing ("Checking the tests:")."""

_QUOTES = re.compile(r"^(?:#{1,6} |\$ |> |={3,}$|-{3,}$)|<!--", re.MULTILINE)
"""Lines of a document or of a terminal, which a model repeats."""

_SENTENCE = re.compile(r"(?:(?<=[.!?。！？])\s+|\n+)(?=\S)")

_ANNOUNCES = lazy_pattern(
    r"(?:(?:now|next|first|then|so|okay|ok|great|good|perfect|and|also|finally)\b[,!:]?\s*)*"
    r"(?:let me|let's|i'll|i’ll|i will|i'm going to|i am going to|i need to|i should|i want to"
    r"|让我|我来|我将|我先|接下来|ich\b|je vais|voy a|vou\b)",
    re.IGNORECASE,
)
"""The beginning of a sentence with which a model announces what it does next, and not what a syntax looks like."""

_SHOWS = lazy_pattern(
    r"\b(?:examples?|formats?|syntax|looks? like|like (?:this|so)|as follows|such|following"
    r"|(?:tool|function)[ _-]?calls?|verbatim|literal(?:ly)?|raw|show|shows|demonstrate|illustrate|explain|describe"
    r"|paste|repeat|reproduce|quote|cite|print|write (?:it|this|one|out)|give you|here|beispiel|zeige|exemple|ejemplo"
    r"|exemplo)\b|例|格式|如下|展示|演示",
    re.IGNORECASE,
)
"""Words by which such a sentence announces an explanation all the same."""

_SENTENCE_ENDS = frozenset(".!?…。！？")
_NOT_BEFORE_END = frozenset("`'\"“”‘’«»([{<=/\\|")


class Place:
    """Follows a text as far as it has been passed on."""

    __slots__ = ("_fence", "_line", "is_empty", "seen")

    def __init__(self) -> None:
        self.is_empty = True
        """Whether there is nothing but white space so far."""
        self.seen = ""
        """The last characters."""
        self._fence: tuple[str, int] | None = None  # the open fence: its character, how often
        self._line = ""  # the beginning of the last line

    def add(self, text: str) -> None:
        """More of the text."""
        if self.is_empty and text and not text.isspace():
            self.is_empty = False
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._end_line(line)
        self._line = self._line[:_MAX_LINE]
        self.seen = (self.seen + text)[-_SEEN:]

    def begins_line(self) -> bool:
        """Whether a call may stand here because a line begins."""
        return self._fence is None and len(self._line) <= _MAX_INDENT and not self._line.strip(" ")

    def ends_sentence(self) -> bool:
        """Whether special tokens may stand here: directly behind a sentence."""
        seen = self.seen.removesuffix(" ")
        return self._is_prose() and (seen[-1:] in _SENTENCE_ENDS or seen.endswith("</think>"))

    def ends_word(self) -> bool:
        """Whether a token that ends the turn may stand here: behind anything that does not quote it."""
        return self._is_prose() and not self.seen[-1:].isspace() and self.seen[-1:] not in _NOT_BEFORE_END

    def explains(self) -> bool:
        """Whether the text before this place is about syntaxes, or somebody else's.

        "Let me look at the parser." is not, although it speaks of a parser; "Let me show you the format:" is.
        """
        sentence = _SENTENCE.split(self.seen.strip())[-1]
        if _ANNOUNCES.match(sentence):
            return _SHOWS.search(sentence) is not None
        patterns = (_EXPLAINS.search(self.seen), _INTRODUCES.match(sentence), _QUOTES.search(self.seen))
        return any(found is not None for found in patterns)

    def _is_prose(self) -> bool:
        return self._fence is None and not self.is_empty and not _FENCE.match(self._line) and self._line[:4] != "    "

    def _end_line(self, line: str) -> None:
        found = _FENCE.match(line)
        if found is None:
            return
        mark, rest = found[1], found[2]
        if self._fence is None:
            if mark[0] == "~" or "`" not in rest:
                self._fence = mark[0], len(mark)
        elif mark[0] == self._fence[0] and len(mark) >= self._fence[1] and not rest.strip():
            self._fence = None
