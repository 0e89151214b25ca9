-- Stores a bundle, or records that it is needed again. Call it before adding the run or
-- job that needs it. A repeated call changes nothing.
--
-- Without p_source, a missing bundle is not stored, and the answer's 'stored' is false:
-- call again with the source. So the source is sent once, and not with each run.
-- p_key is the id of the key that made p_signed. Hubs with other keys add their signatures.
create or replace function public.loom_store_code(
  p_digest    text,
  p_workflows text[],
  p_key       text,
  p_signed    jsonb,
  p_source    text default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
begin
  if p_digest is null or p_digest !~ '^[0-9a-f]{64}$' or p_key is null or length(p_key) not between 1 and 64
     or p_signed is null or jsonb_typeof(p_signed) <> 'object' or length(p_signed::text) > 65536
     or p_workflows is null or cardinality(p_workflows) not between 1 and 1000
     or octet_length(p_source) > 12582912 then
    raise exception 'a bundle has a digest, workflows, a key, a signed manifest and a source of up to 8 MiB'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'bundle the workflow again';
  end if;

  -- Twice: another hub may store it between the two statements, with its own signature alone.
  for v_try in 1..2 loop
    update public.loom_code as code
       set used_at = clock_timestamp(), signed = code.signed || jsonb_build_object(p_key, p_signed)
     where digest = p_digest
       and (used_at < clock_timestamp() - interval '1 minute' or code.signed -> p_key is distinct from p_signed);
    if found or exists (select from public.loom_code where digest = p_digest and signed -> p_key = p_signed) then
      return json_build_object('stored', true);
    end if;
  end loop;
  if p_source is null then
    return json_build_object('stored', false);
  end if;
  insert into public.loom_code as code (digest, workflows, source, signed)
  values (p_digest, p_workflows, p_source, jsonb_build_object(p_key, p_signed))
  on conflict (digest) do update set used_at = clock_timestamp(), signed = code.signed || excluded.signed;
  return json_build_object('stored', true);
end $$;

-- Returns the bundle of a job that the node holds, is offered or is pinned to. For every
-- other bundle 'bundle' is null, as for a missing one.
create or replace function public.loom_read_code(p_node text, p_digest text)
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
as $$
declare
  v_node text := public.loom_acting_node(p_node);
begin
  return json_build_object('bundle', (
    select json_build_object('source', code.source, 'signed', code.signed)
      from public.loom_code as code
     where code.digest = p_digest
       and exists (
         select
           from (select spec from public.loom_running_jobs(v_node)
                 union all
                 select job.spec from public.loom_ready as ready
                  cross join lateral (select spec from public.loom_jobs where id = ready.job_id offset 0) as job
                  where ready.host = v_node) as mine
          cross join lateral (
            select workflow_id, requires from public.loom_job_specs where id = mine.spec offset 0) as spec
          where format('workflow:%s@%s', spec.workflow_id, p_digest) = any(spec.requires))));
end $$;
