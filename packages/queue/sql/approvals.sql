-- Approvals: what a step asks a person, and the answer. A row is made when the step begins to wait (loom_begin_waits), and
-- is kept as long as the step. A decision names the digest of what was shown, so it cannot be about anything else.

-- Returns an approval as the API shows it. This is the only place that names its columns.
create or replace function public.loom_describe_approval(p_approval public.loom_approvals)
  returns json
  language sql
  stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
  select json_build_object(
           'id', job.id, 'run_id', job.run_id, 'workflow_id', job.workflow_id, 'version', run.version, 'step_id', job.step_id,
           'requires', spec.requires, 'state', p_approval.state, 'title', spec.wait ->> 'title', 'shown', p_approval.shown,
           'digest', p_approval.digest, 'who', coalesce(spec.wait -> 'who', '[]'), 'schema', spec.wait -> 'schema',
           'on_timeout', spec.wait ->> 'on_timeout', 'asked_at', p_approval.asked_at, 'expires_at', p_approval.expires_at,
           'decided_at', p_approval.decided_at, 'decided_by', p_approval.decided_by, 'note', p_approval.note,
           'input', p_approval.input)
    from public.loom_jobs as job
    join public.loom_runs as run on run.id = job.run_id
    join public.loom_job_specs as spec on spec.id = job.spec
   where job.id = p_approval.job_id;
$$;

-- Returns an approval by the id of its job, or null.
create or replace function public.loom_get_approval(p_job bigint)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select public.loom_describe_approval(approval) from public.loom_approvals as approval where job_id = p_job;
$$;

-- Lists approvals, newest first: those that wait for a person, or all. Every filter may be null. p_after is the `next` of an
-- earlier answer. One call reads at most 10 000 rows.
create or replace function public.loom_list_approvals(
  p_pending  boolean default true,
  p_workflow text default null,
  p_run      uuid default null,
  p_after    bigint default null,
  p_limit    integer default 50
)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  with seen as materialized (
    (select job_id from public.loom_approvals
      where p_pending and state = 'pending' and job_id < coalesce(p_after, 9223372036854775807)
      order by job_id desc limit 10000)
    union all
    (select job_id from public.loom_approvals
      where not p_pending and job_id < coalesce(p_after, 9223372036854775807)
      order by job_id desc limit 10000)
  ),
  page as materialized (
    select seen.job_id from seen
     where p_workflow is null and p_run is null
        or exists (select from public.loom_jobs as job
                    where job.id = seen.job_id and (p_workflow is null or job.workflow_id = p_workflow)
                      and (p_run is null or job.run_id = p_run))
     order by job_id desc
     limit least(greatest(p_limit, 1), 500)
  )
  select json_build_object(
    'approvals', coalesce((
      select json_agg(public.loom_describe_approval(approval) order by job_id desc)
        from public.loom_approvals as approval where job_id = any(array(select job_id from page))), '[]'),
    'next', case when (select count(*) from page) >= least(greatest(p_limit, 1), 500) then (select min(job_id) from page)
                 else (select job_id from seen offset 9999 limit 1) end);
$$;

-- Records a person's decision, and ends the step with it: approved, it succeeds with {"by", "note", "input", "at"};
-- rejected, it fails with APPROVAL_REJECTED. Null if nothing was asked.
--
-- p_names: how the caller may be named in `who`. p_input is what the step's schema made of the input.
--
-- Interleavings: everything is decided under the lock of the job. Of two decisions the first counts; the same one again
-- gets the same answer. A decision after the time ran out is refused, whether or not a hub has ended the step yet. A cancel
-- that comes first leaves nothing to decide.
create or replace function public.loom_decide_approval(
  p_job bigint, p_decision text, p_digest text, p_by text, p_names text[], p_note text default null, p_input text default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set lock_timeout = '5s'
as $$
declare
  v_now      timestamptz;
  v_approval public.loom_approvals;
  v_who      jsonb;
begin
  if coalesce(p_decision not in ('approved', 'rejected'), true) or p_digest is null or p_by is null
     or length(p_by) > 300 or length(p_note) > public.loom_limit('note_length') then
    raise exception 'a decision is approved or rejected, names a digest, and has a note of at most % characters',
      public.loom_limit('note_length')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check what is sent';
  end if;
  if octet_length(p_input) > public.loom_limit('input_bytes') or not public.loom_is_json(p_input) then
    raise exception 'the input of a decision is JSON of at most % bytes', public.loom_limit('input_bytes')
      using errcode = 'PT413', detail = 'INPUT_TOO_LARGE', hint = 'store the data elsewhere and send a reference';
  end if;
  perform public.loom_lock_jobs(array[p_job]);
  v_now := clock_timestamp();
  select * into v_approval from public.loom_approvals where job_id = p_job for no key update;
  if not found then
    return null;
  end if;
  select spec.wait -> 'who' into v_who
    from public.loom_jobs as job join public.loom_job_specs as spec on spec.id = job.spec where job.id = p_job;
  if jsonb_array_length(v_who) > 0 and not exists (
       select from jsonb_array_elements_text(v_who) as named(name) where name = any(p_names)) then
    raise exception 'the step names who may decide, and you are not among them'
      using errcode = 'PT409', detail = 'APPROVAL_NOT_YOURS', hint = 'GET /api/loom/approvals/{id} lists them in who';
  end if;
  if v_approval.state in ('approved', 'rejected') then
    if (v_approval.state, v_approval.decided_by, v_approval.note, v_approval.input, v_approval.digest)
       is not distinct from (p_decision, p_by, p_note, p_input, p_digest) then
      return public.loom_describe_approval(v_approval);
    end if;
    raise exception 'it was decided before'
      using errcode = 'PT409', detail = 'APPROVAL_DECIDED', hint = 'GET /api/loom/approvals/{id} says by whom and how';
  end if;
  if v_approval.state <> 'pending' or v_approval.expires_at <= v_now then
    raise exception 'nothing is asked any more: the time ran out, or the step was cancelled'
      using errcode = 'PT409', detail = 'APPROVAL_OVER', hint = 'retry the run to be asked again: POST /api/loom/runs/{id}/retry';
  end if;
  if v_approval.digest <> p_digest then
    raise exception 'what is asked is not what was shown: it has changed since'
      using errcode = 'PT409', detail = 'APPROVAL_CHANGED', hint = 'read it again, and send its digest';
  end if;

  update public.loom_approvals
     set state = p_decision, decided_at = v_now, decided_by = p_by, note = p_note, input = p_input
   where job_id = p_job
  returning * into v_approval;
  perform public.loom_finish_waits(array[case p_decision
    when 'approved' then json_build_object('id', p_job, 'detail', 'approved', 'result', json_build_object(
      'by', p_by, 'note', p_note, 'input', p_input::json, 'at', public.loom_iso(v_now))::text)
    else json_build_object('id', p_job, 'detail', 'rejected', 'error', json_build_object(
      'name', 'ApprovalRejectedError', 'code', 'APPROVAL_REJECTED',
      'message', left(p_by || ' rejected it' || coalesce(': ' || p_note, ''), public.loom_limit('note_length')::integer)))
    end]);
  return public.loom_describe_approval(v_approval);
end $$;
