-- The table that goqite expects of its user. Made by whichever process comes
-- first, hence "if not exists".
create table if not exists goqite (
  id       text primary key default ('m_' || lower(hex(randomblob(16)))),
  created  text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  updated  text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  queue    text not null,
  body     blob not null,
  timeout  text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  received integer not null default 0,
  priority integer not null default 0
) strict;

create index if not exists goqite_ready on goqite (queue, priority desc, created);
