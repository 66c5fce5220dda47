{#- What is wrong with the ordered rules of a definition. -#}
{% macro cohort_rules_problems(definition) %}
    {%- set problems = [] -%}
    {#- A rule of one of these names could not be told from the steps every cohort has. -#}
    {%- set names = [
        "entry", "entry_events", "linkable_person", "first_entry_event", "prior_observation",
        "washout", "first_passing_event", "membership_periods"
    ] -%}
    {%- for rule in definition.get("rules") or [] -%}
        {%- set name = rule.get("name") or "" -%}
        {%- set where = "rule " ~ (name or loop.index) -%}
        {%- if not modules.re.fullmatch("[a-z][a-z0-9_]*", name) -%}
            {%- do problems.append(where ~ " needs a name in lowercase letters, digits and _") -%}
        {%- elif name in names -%}
            {%- do problems.append("two rules (or a step of every cohort) bear the name " ~ name) -%}
        {%- endif -%}
        {%- do names.append(name) -%}
        {%- set kinds = ["age", "sex", "event"] | select("in", rule) | list -%}
        {%- if kinds | length != 1 -%}
            {%- do problems.append(where ~ " must be exactly one of age, sex and event") -%}
        {%- elif kinds[0] == "age" -%}
            {%- do problems.extend(unknown_keys(rule, ["name", "age"], where)) -%}
            {%- do problems.extend(unknown_keys(rule.age, ["minimum_years", "maximum_years"], where)) -%}
            {%- do problems.extend(
                cohort_range_problems(rule.age, "minimum_years", "maximum_years", where, 0)
            ) -%}
        {%- elif kinds[0] == "sex" -%}
            {%- do problems.extend(unknown_keys(rule, ["name", "sex"], where)) -%}
            {%- if rule.sex is string or not rule.sex or rule.sex | reject("in", ["F", "M", "X", "U"]) | list -%}
                {%- do problems.append(where ~ ".sex must be a list of F, M, X and U") -%}
            {%- endif -%}
        {%- else -%}
            {%- do problems.extend(cohort_event_rule_problems(rule, definition, where)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do return(problems) -%}
{% endmacro %}

{% macro cohort_event_rule_problems(rule, definition, where) %}
    {%- set problems = unknown_keys(rule, [
        "name", "event", "code_set", "setting", "main_diagnosis_only", "include_planned",
        "from_day", "to_day", "at_least", "at_most"
    ], where) -%}
    {%- do problems.extend(cohort_event_problems(rule, definition, where)) -%}
    {%- do problems.extend(cohort_range_problems(rule, "from_day", "to_day", where, none)) -%}
    {%- do problems.extend(cohort_range_problems(rule, "at_least", "at_most", where, 0)) -%}
    {%- if rule.get("at_least") == 0 and rule.get("at_most") is none -%}
        {%- do problems.append(where ~ " holds for everybody: at_least 0 without at_most") -%}
    {%- endif -%}
    {%- do return(problems) -%}
{% endmacro %}

{#- Both ends are optional whole numbers, one of them is needed, and the first is not the larger. -#}
{% macro cohort_range_problems(mapping, low, high, where, least) %}
    {%- set problems = [] -%}
    {%- for key in [low, high] -%}
        {%- if key in mapping and (
            mapping[key] is not integer or (least is not none and mapping[key] < least)
        ) -%}
            {%- do problems.append(where ~ "." ~ key ~ " must be a whole number") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not (low in mapping or high in mapping) -%}
        {%- do problems.append(where ~ " needs " ~ low ~ " or " ~ high) -%}
    {%- elif mapping.get(low) is integer and mapping.get(high) is integer and mapping[low] > mapping[high] -%}
        {%- do problems.append(where ~ " can never hold: " ~ low ~ " is after " ~ high) -%}
    {%- endif -%}
    {%- do return(problems) -%}
{% endmacro %}

{% macro cohort_code_sets_problems(definition) %}
    {%- set problems = [] -%}
    {%- set used = [(definition.get("entry") or {}).get("code_set")] -%}
    {%- for rule in definition.get("rules") or [] -%}
        {%- do used.append(rule.get("code_set")) -%}
    {%- endfor -%}
    {%- for name, items in (definition.get("code_sets") or {}).items() -%}
        {%- set where = "code set " ~ name -%}
        {%- set kinds = ["icd10_prefixes", "ccsr_categories", "charlson", "elixhauser"] -%}
        {%- do problems.extend(unknown_keys(items or {}, kinds, where)) -%}
        {%- if name not in used -%}
            {%- do problems.append(where ~ " is not used") -%}
        {%- endif -%}
        {%- if not (items or {}).values() | select | list -%}
            {%- do problems.append(where ~ " is empty") -%}
        {%- endif -%}
        {%- for kind, codes in (items or {}).items() -%}
            {%- for code in codes or [] -%}
                {%- set pattern = "[A-Z][0-9][0-9A-Z]{1,5}" if kind == "icd10_prefixes" else "[A-Za-z0-9_]+" -%}
                {%- if not modules.re.fullmatch(pattern, code | string) -%}
                    {%- do problems.append(
                        where ~ " holds " ~ code ~ ": write at least three characters, no dot"
                    ) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do return(problems) -%}
{% endmacro %}
