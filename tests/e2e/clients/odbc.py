"""Logs in with Microsoft's mssql-python and its ODBC driver. Arguments: connection string, SQL, parameters as JSON. Prints JSON."""

import json
import sys

import mssql_python

mssql_python.pooling(enabled=False)
try:
    connection = mssql_python.connect(sys.argv[1], autocommit=len(sys.argv) < 5)
    cursor = connection.cursor()
    cursor.execute(sys.argv[2], *json.loads(sys.argv[3]))
    rows = [list(map(str, row)) for row in cursor.fetchall()]
    connection.commit()
    print(json.dumps({"rows": rows}))
except mssql_python.Error as error:
    print(json.dumps({"error": str(error)}))
