"""The account at the model server has no money left, or has used up what it may use in a time."""

from __future__ import annotations

import re

EXHAUSTED = re.compile(
    # OpenAI, DeepSeek, OpenRouter, xAI, Together, Fireworks, Hugging Face, LiteLLM, Ollama
    r"insufficient[_ ](?:account )?(?:balance|credits?|funds)|balance is insufficient|credit balance"
    r"|not[_ ]enough[_ ]balance"
    r"|budget has been exceeded|budget_exceeded|run out of credits|have any credits|requires a subscription"
    r"|requires more credits|(?:out of|no|purchase) credits|all available credits|monthly included credits"
    r"|(?:credit|spend(?:ing)?)[_ ]limit|billing[_ ](?:hard[_ ]limit|not[_ ]active|disabled)|key limit exceeded"
    r"|overdue|set inference limit"  # Volcengine
    r"|arrearage|in arrears|exceeded_current_quota|payment required|please recharge|balance_depleted"
    r"|quota exceeded for metric[^;]{0,200}?limit: 0\b"  # Gemini: this account must not use this model at all
    r"|(?:daily|monthly) free allocation|freetieronly|free (?:tier|quota)[^.]{0,40}exhausted"  # Cloudflare, DashScope
    r"|premium request allowance|(?:plan|package) has expired|余额不足|欠费|请充值"  # Copilot, Zhipu
)
"""`errors.classes`: no request is served until somebody pays.  In lower case, of any status."""

SOFT_QUOTA = re.compile(r"exceeded your current quota|insufficient_quota")
"""`errors.classes`: OpenAI's words for used-up money, in which Gemini and DashScope also tell that the limit of a
minute is reached."""

MINUTE_QUOTA = re.compile(r"per.?minute|throttling\.allocationquota|#token-limit")
"""`errors.classes`: what tells the limit of a minute from used-up money, beside a stated wait.  The last two are
DashScope's (can1357/oh-my-pi#8496)."""

LONG_LIMIT = re.compile(
    r"per.?day|\b(?:daily|weekly|monthly|hourly)\b|per.?(?:week|month)|session usage limit|5[ -]?hour"
    r"|usage limit (?:reached|exceeded)|\b(?:tpd|rpd)\b|使用上限|base_resp_2056"
)
"""`errors.classes`: the limit of a longer time than a minute.  A wait that is stated counts more."""

DAILY_QUOTA_ID = re.compile(r"perday")
"""`errors.classes`: Gemini's id of a daily limit.  The wait that stands beside it is too short."""
