-- The node that a call acts for: the one that the token names, where it names one,
-- else the one that the caller says. Every function that an agent calls asks here.
create or replace function public.loom_acting_node(p_node text)
  returns text
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_claimed text := nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'node';
begin
  if v_claimed is not null and v_claimed is distinct from p_node then
    raise exception 'this key acts for node %, not for %', v_claimed, p_node
      using errcode = 'PT403', detail = 'WRONG_NODE', hint = 'use the key that was made for this node';
  end if;
  if p_node is null or p_node !~ '^[a-z0-9][a-z0-9._-]{0,62}$' then
    raise exception 'not a node name: %', coalesce(p_node, 'null')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT',
            hint = 'a node name has 1 to 63 of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit';
  end if;
  return p_node;
end $$;

revoke all on function public.loom_acting_node from public, anon, authenticated, service_role;
