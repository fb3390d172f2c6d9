CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE "@owner@" CONNECTION LIMIT @limit@;
ALTER ROLE "{{name}}" SET role = "@owner@";
-- Ending a user's sessions, before it is dropped, asks for membership in it.
GRANT "{{name}}" TO CURRENT_USER;
