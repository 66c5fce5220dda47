{#- Refuse a wrong cohort definition before any SQL runs (called on-run-start). -#}
{% macro lint_cohorts() %}
    {%- if execute -%}
        {%- set problems = [] -%}
        {%- for exposure in cohort_exposures() -%}
            {%- do problems.extend(cohort_file_problems(exposure)) -%}
        {%- endfor -%}
        {%- if problems -%}
            {%- do exceptions.raise_compiler_error(
                "Cohort definitions are wrong; correct them and build again:\n- "
                ~ problems | join("\n- ")
            ) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{% macro cohort_file_problems(exposure) %}
    {%- set path = exposure.original_file_path -%}
    {%- set definition = exposure.config.meta.get("cohort", {}) -%}
    {%- set problems = [] -%}
    {%- if not definition -%}
        {%- do problems.append("config.meta.cohort is missing") -%}
    {%- else -%}
        {%- do problems.extend(cohort_problems(definition)) -%}
        {%- if definition.get("code") != exposure.name or path != "cohorts/" ~ exposure.name ~ ".yml" -%}
            {%- do problems.append("the file, the exposure and the code bear different names") -%}
        {%- endif -%}
        {%- if not (exposure.label and exposure.description and exposure.owner.name) -%}
            {%- do problems.append("label, description and owner are needed") -%}
        {%- endif -%}
    {%- endif -%}
    {%- set located = [] -%}
    {%- for problem in problems -%}
        {%- do located.append(path ~ ": " ~ problem ~ ".") -%}
    {%- endfor -%}
    {%- do return(located) -%}
{% endmacro %}

{#- What is wrong with one definition: a list of clauses, empty where nothing is. -#}
{% macro cohort_problems(definition) %}
    {%- set problems = [] -%}
    {%- do problems.extend(unknown_keys(definition, [
        "code", "version", "status", "source", "replaces", "code_sets", "entry",
        "prior_observation_days", "washout_days", "rules", "exit", "collapse_gap_days"
    ], "the definition")) -%}
    {%- if not definition.get("version") is integer or definition.version < 1 -%}
        {%- do problems.append("version must be a whole number from 1") -%}
    {%- endif -%}
    {%- if definition.get("status") not in ["draft", "accepted", "withdrawn"] -%}
        {%- do problems.append("status must be draft, accepted or withdrawn") -%}
    {%- endif -%}
    {%- if not definition.get("source") -%}
        {%- do problems.append("source is missing: say where the definition comes from") -%}
    {%- endif -%}
    {%- for key in ["prior_observation_days", "washout_days", "collapse_gap_days"] -%}
        {%- if not definition.get(key) is integer or definition[key] < 0 -%}
            {%- do problems.append(key ~ " must be a whole number of days, 0 for none") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if definition.get("washout_days", 0) | int > definition.get("prior_observation_days", 0) | int -%}
        {%- do problems.append(
            "washout_days exceed prior_observation_days: days without data are not days without events"
        ) -%}
    {%- endif -%}
    {%- do problems.extend(cohort_entry_problems(definition)) -%}
    {%- do problems.extend(cohort_exit_problems(definition.get("exit") or {})) -%}
    {%- do problems.extend(cohort_rules_problems(definition)) -%}
    {%- do problems.extend(cohort_code_sets_problems(definition)) -%}
    {%- do return(problems) -%}
{% endmacro %}

{% macro unknown_keys(mapping, known, where) %}
    {%- set problems = [] -%}
    {%- for key in mapping -%}
        {%- if key not in known -%}
            {%- do problems.append(where ~ " has the unknown key " ~ key) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do return(problems) -%}
{% endmacro %}

{% macro cohort_entry_problems(definition) %}
    {%- set entry = definition.get("entry") or {} -%}
    {%- set problems = unknown_keys(entry, [
        "event", "code_set", "setting", "main_diagnosis_only", "include_planned", "repeat", "take",
        "first_taken"
    ], "entry") -%}
    {%- do problems.extend(cohort_event_problems(entry, definition, "entry")) -%}
    {%- if entry.get("take") not in ["first", "all"] -%}
        {%- do problems.append("entry.take must be first or all") -%}
    {%- endif -%}
    {%- if entry.get("take") == "first" and entry.get("first_taken") not in ["before_rules", "after_rules"] -%}
        {%- do problems.append(
            "entry.first_taken must be before_rules or after_rules: they are different people"
        ) -%}
    {%- endif -%}
    {%- if entry.get("take") == "all" and "first_taken" in entry -%}
        {%- do problems.append("entry.first_taken contradicts take: all") -%}
    {%- endif -%}
    {%- if "repeat" in entry -%}
        {%- set repeat = entry["repeat"] or {} -%}
        {%- do problems.extend(unknown_keys(repeat, ["count", "within_days"], "entry.repeat")) -%}
        {%- for key, least in [("count", 2), ("within_days", 1)] -%}
            {%- if not repeat.get(key) is integer or repeat[key] < least -%}
                {%- do problems.append("entry.repeat." ~ key ~ " must be a whole number from " ~ least) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- do return(problems) -%}
{% endmacro %}

{% macro cohort_event_problems(events, definition, where) %}
    {%- set problems = [] -%}
    {%- set kind = events.get("event") -%}
    {%- if kind not in ["diagnosis", "ed_visit", "inpatient_stay"] -%}
        {%- do problems.append(where ~ ".event must be diagnosis, ed_visit or inpatient_stay") -%}
    {%- endif -%}
    {%- if kind == "diagnosis" and events.get("code_set") not in (definition.get("code_sets") or {}) -%}
        {%- do problems.append(where ~ ".code_set names no code set of the definition") -%}
    {%- endif -%}
    {%- for key in ["code_set", "setting", "main_diagnosis_only"] -%}
        {%- if key in events and kind != "diagnosis" -%}
            {%- do problems.append(where ~ "." ~ key ~ " belongs to diagnosis events only") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if "include_planned" in events and kind != "ed_visit" -%}
        {%- do problems.append(where ~ ".include_planned belongs to ed_visit events only") -%}
    {%- endif -%}
    {%- for key in ["main_diagnosis_only", "include_planned"] -%}
        {%- if key in events and events[key] is not boolean -%}
            {%- do problems.append(where ~ "." ~ key ~ " must be true or false") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if events.get("setting", "emergency") not in ["emergency", "inpatient"] -%}
        {%- do problems.append(where ~ ".setting must be emergency or inpatient") -%}
    {%- endif -%}
    {%- do return(problems) -%}
{% endmacro %}

{% macro cohort_exit_problems(exit) %}
    {%- set problems = unknown_keys(exit, ["at", "after_days"], "exit") -%}
    {%- if ("at" in exit) == ("after_days" in exit) -%}
        {%- do problems.append("exit needs either at or after_days") -%}
    {%- elif exit.get("at", "end_of_observation") != "end_of_observation" -%}
        {%- do problems.append("exit.at must be end_of_observation") -%}
    {%- elif "after_days" in exit and (exit.after_days is not integer or exit.after_days < 1) -%}
        {%- do problems.append("exit.after_days must be a whole number from 1") -%}
    {%- endif -%}
    {%- do return(problems) -%}
{% endmacro %}
