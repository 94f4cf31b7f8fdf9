#!/usr/bin/env bash
# Runs once, when the database server of docker-compose.yml is new: the two roles of the program and its database.
# one_owner owns the tables and is used by migrations only; one_app owns nothing and cannot bypass row-level security.
set -euo pipefail

psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set=owner_password="$ONE_OWNER_PASSWORD" --set=app_password="$ONE_APP_PASSWORD" <<'SQL'
CREATE ROLE one_owner LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'owner_password';
CREATE ROLE one_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'app_password';
CREATE DATABASE one OWNER one_owner;
REVOKE ALL ON DATABASE one FROM PUBLIC;
GRANT CONNECT ON DATABASE one TO one_app;
SQL
