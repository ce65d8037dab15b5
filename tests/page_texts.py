"""Answers of a made-up model, for page_test.py: one of all kinds, and one that would do harm."""

THOUGHT = "Let me add: $1+2$."
SAID = r"""Here is **the sum** of $a_1$ and \(b_2\), for $5 or $6, not $\frac{$:

$$
\sum_{i=1}^{n} i
= \frac{n(n+1)}{2}
$$

\[ x^2 \]

```python
def add(a, b):
    return a + b  # a sum
```

| a | b |
|---|---|
| 1 | 2 |
"""
HOSTILE = r"""<img src=x onerror="window.harmed = 1"> <script>window.harmed = 2</script>

<script>window.harmed = 3</script>

<svg onload="window.harmed = 4"><script>window.harmed = 5</script></svg>

<iframe src="javascript:parent.harmed = 6"></iframe> <a href="javascript:window.harmed=7" id="log">html</a>

[a](javascript:window.harmed=8) [b](data:text/html,<script>window.harmed=9</script>) [c](JaVaScRiPt:window.harmed=10)
[d](vbscript:x) ![p](https://example.org/p.png) ![q](x" onerror="window.harmed=11) <https://example.org/ok>

<style>body { display: none }</style><form action="https://example.org"><input name=q></form>

$\href{javascript:window.harmed=12}{x}$ $\includegraphics{https://example.org/k.png}$ $\htmlData{a=b}{x}$ $<img src=x onerror=window.harmed=13>$

```html"onmouseover="window.harmed=14
<img src=x onerror="window.harmed=15">
```

<span class="math">\href{javascript:window.harmed=16}{x}</span> <details open ontoggle="window.harmed=17">d</details>
"""
