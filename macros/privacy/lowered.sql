{#- Called around the body of every macro that lowers a privacy class, and by nothing else.

    Compiled SQL has lost the names of its macros. Where the lineage check compiles the models (the
    variable privacy_lineage), the body stands in a call that bears the name; in every other build
    nothing is added. Which class a macro lowers to which: ops/privacy/rules.py. -#}
{% macro lowered(name) -%}
    {%- if var("privacy_lineage", false) -%}
        scutari_lowered('{{ name }}', {{ caller() }})
    {%- else -%}
        {{- caller() -}}
    {%- endif -%}
{%- endmacro %}
