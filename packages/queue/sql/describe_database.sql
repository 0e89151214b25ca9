-- What a doctor asks of the database itself: its clock, and which migrations it has had.
create or replace function public.loom_describe_database()
  returns json
  language sql
  volatile
  security definer
  set search_path = ''
as $$
  select json_build_object(
           'now', clock_timestamp(),
           'server_version', current_setting('server_version'),
           'migrations', (select coalesce(json_agg(name order by name), '[]') from public.loom_migrations));
$$;

revoke all on function public.loom_describe_database from public, anon, authenticated, service_role;
grant execute on function public.loom_describe_database to service_role;
