"""Writes tests/golden/templates.json: small templates, one or more for each feature, and what jinja2 makes of them.

  python make_template_golden.py

The environment is template_compare.py's. A text of null says that jinja2 refuses the template. The second part is a sample of
template_random.py's templates.
"""
import json
import pathlib

import template_compare
import template_random

MESSAGES = [
    {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <there> & 'you' 多\n"},
    {"role": "assistant", "content": "  Hello.  ", "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, 2.0, None, True], "é": "a\"b\\c\t\u0001"}}}]},
    {"role": "user", "content": "Bye"},
]

# Each begins with what it shows.
TEMPLATES = [
    # white space
    "a\n{% if true %}\nb\n{% endif %}\nc\n", "a\n  {% if true %}  \n  b\n  {% endif %}\nc", "a  {%- if true -%}  b  {%- endif -%}  c", "a\n  {%+ if true %}b{% endif +%}\nc",
    "  {{ 'x' }}  \n  {{- 'y' -}}  \n z", "a {# c #}\nb\n  {# d #}\nc{#- e -#}  d", "{% raw %}{{ a }}{% endraw %}|{%- raw -%}  {% x %}  {%- endraw -%}  z", "a\r\nb\rc\r\n{% if true %}\r\nd{% endif %}\r\n",
    "\u00a0{%- if true %} x{% endif %}", "{{-1}} {{ -1 }}{{ 2 }}\n\n", "{% raw %}\n x {% endraw %}\n", "{{ '{{' }}{{ '}}' }}{{ {'a': {'b': 1}} }}",
    # literals
    r"""{{ 'a\n\t\\\'\"b' }}{{ "\x41\u00e9\U0001F600\101\q" }}{{ 'a' 'b' "c" }}""", "{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1.5e3 }} {{ 1e-7 }} {{ 2e16 }} {{ 1.0 }} {{ 100000000000000000000 }}",
    "{{ [1, 'a', none, true, 2.5, {'k': (1,)}, [], (), ('x', 'y')] }}", "{{ ['it\\'s', 'say \"x\"', 'both \\' \"', 'é\\n\\x01多\\u200b'] }}", "{{ ['\\ue000\\U000F0000\\u0378\\u2028\\u3000\\xad'] }}", "{{ none }}|{{ None }}|{{ true }}|{{ False }}|{{ missing }}|",
    # operators and precedence
    "{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7.5 % -2 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 2 ** -1 }}",
    "{{ 'a' ~ 1 ~ none ~ 2.0 + 3 if false else 'a' ~ 1 + 2 }}", "{{ 'ab' * 2 + 'c' }} {{ [1] * 2 + [3] }} {{ (1,) + (2,) }}", "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }}",
    "{{ not 1 == 2 }} {{ not true and false }} {{ 1 or 2 }} {{ 0 or '' or 'x' }} {{ 1 and 2 }} {{ '' and 1 }}|", "{{ 'b' in 'abc' }} {{ 1 in [1] }} {{ 'k' in {'k': 1} }} {{ 'x' not in 'abc' }} {{ 3 in range(3) }} {{ 'a' in missing }}",
    "{{ 'x' if true }}{{ 'y' if false }}{{ 'a' if false else 'b' if false else 'c' }}", "{{ 1 if 2 > 1 and not false else 0 }}", "{{ 1 + true }} {{ 'a' + 1 }}", "{{ 1 / 0 }}", "{{ [] < 1 }}", "{{ -'a' }}", "{{ 10 ** 30 }}",
    "{{ '%s is %d%% of %.2f' % ('x', 5, 2) }}", "{{ '{} {1} {a}'.format(1, 2, a=3) }}", "{{ '{0}{1}{a}{{}}'.format(1, 2, a=3) }}",
    # subscripts and slices
    "{{ messages[0].role }} {{ messages[-1]['content'] }} {{ messages[9] }}|{{ messages[0].nothing }}|{{ messages.0.role }}", "{{ 'hello'[1] }}{{ 'hello'[-1] }}{{ 'hello'[1:3] }}{{ 'hello'[::-1] }}{{ 'hello'[::2] }}{{ 'hello'[-3:] }}{{ 'hello'[:-1] }}{{ 'hello'[10:] }}",
    "{{ [1, 2, 3, 4][::-1] }} {{ [1, 2, 3, 4][3:0:-2] }} {{ [1, 2, 3][1:] }} {{ (1, 2, 3)[:2] }} {{ 'Grüße多'[2:6] }} {{ 'Grüße多'[::-1] }}", "{% for m in messages[::-1] %}{{ m.role }},{% endfor %}", "{{ [1][::0] }}", "{{ missing.x }}", "{{ missing[0] }}", "{{ {'a': 1}.a }}{{ {'a': 1}['a'] }}{{ {1: 'x'}[1] }}{{ {'items': 5}['items'] }}",
    "{{ none.x }}|{{ 5.x }}", "{{ {(1, 2): 'x'}[1, 2] }}{{ [1][0, 1] }}|", "{{ [1, 2]['x'] }}|{{ 'abc'['x'] }}|{{ {}[[]] }}|", "{{ ([1, 2] | map('string'))[0] }}|{{ ([1, 2] | map('string') | list)[0] }}",
    # loops
    "{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }} {% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}", "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for x in [] %}x{% else %}none{% endfor %}{% for x in missing %}x{% else %}none{% endfor %}",
    "{% for x in range(6) if x % 2 %}{{ loop.index }}:{{ x }} {% endfor %}", "{% set x = 9 %}{% for x in [1, 2] if x > 1 %}{{ x }}{% endfor %}{{ x }}", "{% for x in range(9) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in [1, 2] %}{% continue %}{% else %}else{% endfor %}|{% for x in [1, 2] %}{% break %}{% else %}else{% endfor %}", "{% set x = 0 %}{% for i in [1, 2] %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% for i in [1, 2] %}{% set y = i %}{% endfor %}{{ y is defined }}",
    "{% for x in [1, 2] %}{% for y in 'ab' %}{{ loop.index }}{{ x }}{{ y }}{% endfor %}{{ loop.index }}{% endfor %}", "{% for c in 'aé多' %}[{{ c }}]{% endfor %}{% for k in {'x': 1, 'y': 2} %}{{ k }}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}", "{% for x in 5 %}{% endfor %}",
    "{{ loop }}|{% for x in [1] %}{{ loop.nothing }}|{% endfor %}",
    # if, set, with, namespace
    "{% if false %}a{% elif 0 %}b{% elif 1 %}c{% else %}d{% endif %}", "{% if true %}{% set x = 1 %}{% endif %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, %}{{ c }}", "{% set x %}block {{ 1 + 1 }}{% endset %}[{{ x }}]{% set y | upper | trim %} a {% endset %}[{{ y }}]",
    "{% set ns = namespace(n=0, l=[]) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{{ ns.l }}{{ ns.nothing }}|", "{% set x = 1 %}{% with x = 2, y = x %}{{ x }}{{ y }}{% endwith %}{{ x }}", "{% set d = 1 %}{% set d.x = 2 %}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns['b'] }}{{ ns }}", "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% filter upper %}a{{ 'b' }}{% endfilter %}{% filter replace('a', 'b') | trim %} aa {% endfilter %}", "{% generation %}x{% set q = 1 %}{% endgeneration %}{{ q is defined }}", "{% filter upper %}a{% set q = 1 %}{% endfilter %}{{ q is defined }}",
    # macros
    "{% macro m(a, b='B', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 2) }}|{{ m(c=3, a=4) }}|{{ m() }}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro box(t) %}[{{ caller(t) }}]{% endmacro %}{% call(x) box('a') %}<{{ x }}>{% endcall %}", "{% set g = 1 %}{% macro m() %}{{ g }}{% set g = 2 %}{{ g }}{% endmacro %}{{ m() }}{{ g }}", "{%- macro m(x) -%}  {{ x }}  {%- endmacro -%}  [{{ m('y') }}]",
    "{% macro m(x, y=x) %}{{ y }}{% endmacro %}{{ m(5) }}",
    # tests
    "{{ x is defined }}{{ messages is defined }}{{ x is undefined }}{{ none is none }}{{ 'a' is string }}{{ 1 is number }}{{ 1 is integer }}{{ 1.0 is float }}{{ true is boolean }}{{ {} is mapping }}{{ [] is sequence }}{{ 'a' is sequence }}{{ {} is sequence }}{{ 'a' is iterable }}{{ 1 is iterable }}{{ none is iterable }}",
    "{{ true is true }}{{ 1 is true }}{{ false is false }}{{ 3 is odd }}{{ 4 is even }}{{ 6 is divisibleby 3 }}{{ 1 is in [1] }}{{ 'a' is lower }}{{ 'A' is upper }}{{ 1 is eq 1 }}{{ 1 is ne 1 }}{{ 2 is gt 1 }}{{ 1 is sameas 1 }}{{ x is not defined }}{{ range is callable }}", "{{ x is nothing }}", "{{ 'trim' is filter }}{{ 'odd' is test }}",
    # filters
    "{{ ' a ' | trim }}|{{ 'xaxx' | trim('x') }}|{{ 'aB' | upper }}|{{ 'aB' | lower }}|{{ 'hello world-x (y' | title }}|{{ 'hELLO' | capitalize }}|{{ 'aab' | replace('a', 'x', 1) }}|{{ 5 | string + 'x' }}", "{{ 'a{b [c <d' | title }}", "{{ [1, 2, 3] | length }}{{ 'é多' | length }}{{ {} | count }}{{ missing | length }}", "{{ [3, 1, 2] | sort }}{{ ['b', 'A', 'c'] | sort }}{{ [3, 1] | sort(reverse=true) }}{{ [{'n': 2}, {'n': 1}] | sort(attribute='n') }}",
    "{{ ['a', 'b'] | join(', ') }}{{ [1, none, 'x'] | join }}{{ [{'n': 1}, {'n': 2}] | join('-', attribute='n') }}", "{{ {'b': 1, 'a': 2} | dictsort }}{{ {'b': 1, 'a': 2} | dictsort(by='value') }}{{ {'a': 1} | items | list }}", "{{ [1, 2, 3] | first }}{{ [1, 2, 3] | last }}{{ [] | first }}|{{ 'abc' | last }}",
    "{{ messages | map(attribute='role') | join(',') }} {{ ['a', 'b'] | map('upper') | list }} {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list }}", "{{ [0, 1, 2] | select | list }}{{ [1, 2, 3] | select('odd') | list }}{{ [1, none] | reject('none') | list }}{{ messages | rejectattr('tool_calls') | list | length }}",
    "{{ x | default('d') }}{{ '' | default('d') }}|{{ '' | default('d', true) }}{{ none | d('x') }}", "{{ '12' | int + 1 }}{{ 'x' | int }}{{ '1.9' | int }}{{ '0x1f' | int(base=16) }}{{ '1.5' | float }}{{ 2.5 | round }}{{ 3.14159 | round(2) }}{{ 2.1 | round(method='ceil') }}{{ -3 | abs }}", "{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb' | indent(2, true) }}|{{ 'a\\n\\nb' | indent('> ', blank=true) }}",
    "{{ [1, 1, 2, 'a', 'A'] | unique | list }}{{ [1, 2, 3] | reverse | list }}{{ 'abc' | reverse }}{{ [1, 2, 3] | sum }}{{ [3, 1, 2] | min }}{{ [3, 1, 2] | max }}{{ range(5) | batch(2) | list }}{{ range(5) | slice(2) | list }}", "{{ 'a<b>' | safe }}{{ 'a<b>' | escape }}{{ ('<a>' | safe) + '<b>' }}{{ ('<a>' | safe) ~ '<b>' }}{{ '<i>' | e | upper }}", "{{ 'x' | nothing }}", "{{ 'hello world foo' | truncate(11, end='..') }}{{ 'ab' | format }}{{ '%s-%s' | format(1, 'x') }}", "{{ none | list }}", "{{ [2, 'x'] | sort(attribute='v') }}{{ -0.5 | round(method='ceil') }}{{ 'x' % missing }}", "{{ messages | map('tojson') | first }}",
    # tojson
    "{{ messages | tojson }}", "{{ messages[2].tool_calls | tojson(indent=2) }}", "{{ {'b': [], 'a': {}, 'c': [1]} | tojson(indent=4, sort_keys=true) }}", "{{ {'é': '多😀\\x7f'} | tojson(ensure_ascii=true) }}", "{{ {'a': [1, 2]} | tojson(separators=(',', ':')) }}", "{{ {1: 2, none: 3, true: 4, 1.5: 6} | tojson }}", "{{ '</script>&\\'' | tojson }}", "{{ missing | tojson }}", "{{ 1e22 | tojson }}{{ 0.1 | tojson }}{{ 5.0 | tojson }}", "{{ [1] | tojson(indent=0) }}", "{{ '{\"a\": [1, 2.5]}' | from_json }}",
    # methods
    "{{ 'a,b,,c'.split(',') }}{{ ' a  b '.split() }}{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ '<think>x</think>y'.split('</think>')[-1] }}{{ ''.split(',') }}{{ ''.split() }}", "{{ '\\n x \\n'.strip() }}|{{ '\\n x'.lstrip('\\n') }}|{{ 'xyx'.rstrip('x') }}|{{ 'é多é'.strip('é') }}", "{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'aab'.replace('a', 'b', 1) }}{{ 'abc'.replace('', '-') }}{{ 'aXbX'.find('X') }}{{ 'aXbX'.rfind('X') }}{{ 'aXbX'.count('X') }}", "{{ 'é多X'.find('X') }}{{ 'é多X多'.rfind('多') }}{{ 'é多X'.index('X') }}",
    "{{ 'hello wORLD it\\'s'.title() }}{{ 'ß'.upper() }}{{ 'hELLO'.capitalize() }}{{ 'ÀÉ'.lower() }}", "{{ ','.join(['a', 'b']) }}{{ 'a\\nb\\r\\nc\\n'.splitlines() }}{{ 'a\\nb'.splitlines(true) }}{{ '12'.isdigit() }}{{ 'ab'.isalpha() }}{{ ''.isdigit() }}", "{{ {'a': 1}.get('a') }}{{ {'a': 1}.get('b') }}{{ {'a': 1}.get('b', 2) }}{{ {'a': 1}.keys() }}{{ {'a': 1}.values() | list }}{{ {'a': 1}.items() }}",
    "{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}{{ l.pop(0) }}{{ l }}", "{{ [1, 2].index(2) }}{{ [1, 1].count(1) }}", "{{ 'a'.nothing() }}", "{{ 'a<>b<>c'.partition('<>') }}{{ 'a<>b<>c'.rpartition('<>') }}{{ 'a'.rpartition('<>') }}", "{% for x in [1, 2] %}{{ loop.depth }}{{ loop.depth0 }}{% for y in 'a' %}{{ loop.depth }}{% endfor %}{% endfor %}", "{{ range(5)[2] }}{{ range(5)[-1] }}{{ range(1, 9, 2)[1:3] | list }}", "{{ {'a': [1, 2], 'b': 3} | tojson(separators=(';', '=')) }}", "{{ {'a': 1}.update({'b': 2}) }}", "{{ 'a-b-c'.partition('-') }}{{ 'a-b-c'.rpartition('-') }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}", "{{ messages[0].__class__ }}|{{ ''.__class__ }}", "{{ 'x'.split('') }}",
    # functions
    "{{ range(3) | list }}{{ range(1, 7, 3) | list }}{{ range(3, 0, -1) | list }}{{ range(3) }}{{ dict(a=1, b=2) }}{{ dict([['x', 1]]) }}{{ dict({'a': 1}, b=2) }}", "{{ strftime_now('%Y-%m-%d %H:%M') }} {{ strftime_now('%d %b %Y') }}", "{{ raise_exception('no') }}", "{{ range(1000000) }}", "{{ nothing() }}", "{{ 5() }}",
    # syntax errors
    "{% if %}{% endif %}", "{% if true %}", "{{ 1", "{{ (1 }}", "{% endif %}", "{% nonsense %}", "{{ 'a }}", "{# x", "{% for x %}{% endfor %}", "{{ 1 2 }}", "{% set 1 = 2 %}", "{% break %}", "{{ }}", "{% include 'x' %}", "{{ a b }}", "{% raw %}x", "{{ [1, }}", "{{ x is }}", "{% for x in y %}{% endif %}",
    # a chat
    "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
]


def main():
    cases = []
    for source in TEMPLATES:
        request = {"template": source, "messages": MESSAGES, "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}
        cases.append([source, template_compare.by_jinja2(request)])
    sample = [r["template"] for r in template_random.requests(1500, 7)]
    rendered = []
    for source in sample:
        text = template_compare.by_jinja2({"template": source, "messages": [], "variables": template_random.VARIABLES})
        if text is not None and "object at 0x" not in text and "range(" not in text and len(text) < 300:
            rendered.append([source, text])
    out = pathlib.Path(__file__).parent.parent / "tests" / "golden" / "templates.json"
    with open(out, "w") as f:
        dump = lambda value: json.dumps(value, ensure_ascii=True)
        f.write('{"messages": %s,\n"now": %d,\n"cases": [\n' % (dump(MESSAGES), template_compare.NOW))
        f.write(",\n".join(map(dump, cases)))
        f.write('],\n"variables": %s,\n"random": [\n' % dump(template_random.VARIABLES))
        f.write(",\n".join(map(dump, rendered[:250])))
        f.write("]}\n")
    print(f"{len(cases)} templates, {len(rendered[:250])} random ones")


if __name__ == "__main__":
    main()
