-- How long a job waits after its attempt failed.
--
-- Exponential with full jitter, from half a step on: retries of many jobs that
-- failed together spread out, yet none comes back at once. The exponent is capped
-- before power(), which otherwise overflows.
create or replace function public.loom_backoff(
  p_kind    text,
  p_attempt integer,
  p_ms      integer,
  p_max_ms  integer
)
  returns interval
  language sql
  volatile
  set search_path = ''
as $$
  select make_interval(secs => 0.001 * case
    when p_kind = 'fixed' then p_ms
    else least(p_max_ms, p_ms * power(2, least(greatest(p_attempt, 1), 24) - 1)) * (0.5 + random() / 2)
  end);
$$;

revoke all on function public.loom_backoff from public, anon, authenticated, service_role;
