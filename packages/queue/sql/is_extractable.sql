-- Whether the strings of a JSON value can be taken out of it as text: Postgres raises
-- an error for \u0000 and for half a surrogate pair, which would fail a whole batch.
--
-- Pairs of backslashes are removed first; what is left of "\u" is a real escape.
create or replace function public.loom_is_extractable(p_value json)
  returns boolean
  language sql
  immutable
  set search_path = ''
as $$
  select bare !~ '\\u0000'
     and bare !~ '\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})'
     and bare !~ '(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}'
    from (select replace(p_value::text, '\\', '') as bare) as t;
$$;

revoke all on function public.loom_is_extractable from public, anon, authenticated, service_role;
