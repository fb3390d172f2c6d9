CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE "@owner@";
ALTER ROLE "{{name}}" SET role = "@owner@";
