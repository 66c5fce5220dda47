{#- The cohort definitions that stand: meta.cohort of every exposure whose file lies in cohorts/,
    withdrawn ones left out.

    Models call this by name and hand the list on, so that a unit test can put a definition in its
    place (overrides.macros). dbt knows no exposures while it parses: the list is empty then. -#}
{% macro cohort_definitions() %}
    {%- set definitions = [] -%}
    {%- if execute -%}
        {%- for exposure in cohort_exposures() -%}
            {%- if exposure.config.meta.cohort.status != "withdrawn" -%}
                {%- do definitions.append(exposure.config.meta.cohort) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- do return(definitions) -%}
{% endmacro %}

{#- The exposures that define cohorts, by name. Disabled ones are no part of the graph. -#}
{% macro cohort_exposures() %}
    {%- set exposures = [] -%}
    {%- if execute -%}
        {%- for exposure in graph.exposures.values() | sort(attribute="name") -%}
            {%- if exposure.original_file_path.startswith("cohorts/") -%}
                {%- do exposures.append(exposure) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- do return(exposures) -%}
{% endmacro %}

{#- One row per cohort: what its definition says about the cohort as a whole. -#}
{% macro cohort_rows(definitions) %}
    {%- set rows = [] -%}
    {%- for definition in definitions -%}
        {%- set exit = definition.get("exit", {}) -%}
        {%- do rows.append([
            definition.code,
            definition.entry.get("repeat", {}).get("count", 1),
            definition.entry.get("repeat", {}).get("within_days", 1),
            definition.get("prior_observation_days", 0),
            definition.get("washout_days", 0),
            exit.get("after_days"),
            definition.get("collapse_gap_days", 0),
        ]) -%}
    {%- endfor -%}
    {{- typed_rows({
        "cohort_code": "string",
        "repeat_count": "int",
        "repeat_within_days": "int",
        "prior_observation_days": "int",
        "washout_days": "int",
        "exit_after_days": "int",
        "collapse_gap_days": "int",
    }, rows) -}}
{% endmacro %}

{#- One row per cohort and set of events it looks at: the entry, and one for every event rule. -#}
{% macro cohort_event_set_rows(definitions) %}
    {%- set rows = [] -%}
    {%- set visit_settings = {"ed_visit": "emergency", "inpatient_stay": "inpatient"} -%}
    {%- for definition in definitions -%}
        {%- set event_rules = definition.get("rules", []) | selectattr("event", "defined") | list -%}
        {%- for events in [definition.entry] + event_rules -%}
            {%- do rows.append([
                definition.code,
                events.get("name", "entry"),
                events.event,
                events.get("code_set"),
                visit_settings.get(events.event, events.get("setting")),
                events.get("main_diagnosis_only", false),
                events.get("include_planned", false),
            ]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- typed_rows({
        "cohort_code": "string",
        "event_set_name": "string",
        "event_code": "string",
        "code_set_name": "string",
        "setting_code": "string",
        "is_main_only": "boolean",
        "is_planned_included": "boolean",
    }, rows) -}}
{% endmacro %}

{#- One row per cohort and rule in the order of application: what the definition's head implies
    (a linkable person, first event, prior observation, washout), then the rules it lists. -#}
{% macro cohort_rule_rows(definitions) %}
    {%- set rows = [] -%}
    {%- for definition in definitions -%}
        {%- for rule in cohort_rules_in_order(definition) -%}
            {%- set sex_codes = "," ~ rule.get("sex_codes", []) | join(",") ~ "," -%}
            {%- do rows.append([
                definition.code,
                loop.index,
                rule.name,
                rule.kind,
                rule.get("minimum_years"),
                rule.get("maximum_years"),
                sex_codes,
                rule.get("from_day"),
                rule.get("to_day"),
                rule.get("at_least"),
                rule.get("at_most"),
            ]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- typed_rows({
        "cohort_code": "string",
        "rule_number": "int",
        "rule_name": "string",
        "rule_kind_code": "string",
        "minimum_years": "int",
        "maximum_years": "int",
        "sex_codes": "string",
        "from_day": "int",
        "to_day": "int",
        "at_least_count": "int",
        "at_most_count": "int",
    }, rows) -}}
{% endmacro %}

{% macro cohort_rules_in_order(definition) %}
    {%- set rules = [{"name": "linkable_person", "kind": "linkable_person"}] -%}
    {%- if definition.entry.get("first_taken") == "before_rules" -%}
        {%- do rules.append({"name": "first_entry_event", "kind": "first_entry_event"}) -%}
    {%- endif -%}
    {%- for kind in ["prior_observation", "washout"] -%}
        {%- if definition.get(kind ~ "_days", 0) > 0 -%}
            {%- do rules.append({"name": kind, "kind": kind}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for rule in definition.get("rules", []) -%}
        {%- set details = dict(rule) -%}
        {%- set kind = "event" if "event" in rule else ("age" if "age" in rule else "sex") -%}
        {%- do details.update(rule.get("age", {})) -%}
        {%- do details.update({"kind": kind, "sex_codes": rule.get("sex", [])}) -%}
        {%- do rules.append(details) -%}
    {%- endfor -%}
    {%- if definition.entry.get("first_taken") == "after_rules" -%}
        {%- do rules.append({"name": "first_passing_event", "kind": "first_passing_event"}) -%}
    {%- endif -%}
    {%- do return(rules) -%}
{% endmacro %}

{#- One row per cohort, code set and item as the definition writes it. -#}
{% macro cohort_code_set_item_rows(definitions) %}
    {%- set rows = [] -%}
    {%- for definition in definitions -%}
        {%- for code_set_name, items in definition.get("code_sets", {}).items() -%}
            {%- for kind in ["icd10_prefixes", "ccsr_categories", "charlson", "elixhauser"] -%}
                {%- for item in items.get(kind, []) -%}
                    {%- do rows.append([definition.code, code_set_name, kind, item]) -%}
                {%- endfor -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- typed_rows({
        "cohort_code": "string",
        "code_set_name": "string",
        "item_kind_code": "string",
        "item_code": "string",
    }, rows) -}}
{% endmacro %}

{#- One row per cohort: what its file says about it, the whole definition as JSON text included. -#}
{% macro cohort_descriptions(exposures) %}
    {%- set rows = [] -%}
    {%- for exposure in exposures -%}
        {%- set definition = exposure.config.meta.cohort -%}
        {%- do rows.append([
            definition.code,
            exposure.label,
            exposure.owner.name,
            exposure.description | trim,
            definition.status,
            definition.version,
            tojson(definition, sort_keys=true),
        ]) -%}
    {%- endfor -%}
    {{- typed_rows({
        "cohort_code": "string",
        "cohort_name": "string",
        "owner_name": "string",
        "description": "string",
        "status_code": "string",
        "version_number": "int",
        "definition": "string",
    }, rows) -}}
{% endmacro %}
