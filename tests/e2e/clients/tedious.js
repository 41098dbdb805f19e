// Logs in to a SQL Server with tedious and asks who it is. The one argument is JSON: modules, config, sql, parameters [[name, type, value]].
// Prints one JSON object: {rows} or {errors: [{number, code, message}]}.
'use strict';
const given = JSON.parse(process.argv[2]);
const fs = require('fs');
const path = require('path');
const { Connection, Request, TYPES } = require(path.join(given.modules, 'tedious'));

const options = given.config.options;
if (given.ca) options.cryptoCredentialsDetails = { ca: fs.readFileSync(given.ca) };
const errors = [];
const connection = new Connection(given.config);
const plain = (e) => ({ number: e.number || 0, code: e.code || '', message: String(e.message) });
const finish = (told) => { console.log(JSON.stringify(told)); process.exit(0); };
connection.on('errorMessage', (e) => errors.push(plain(e)));
connection.on('error', (e) => errors.push(plain(e)));
connection.connect((failed) => {
  if (failed) { if (!errors.length) errors.push(plain(failed)); finish({ errors }); return; }
  const rows = [];
  const request = new Request(given.sql, (error) => {
    if (error) finish({ errors: [plain(error)] });
    else finish({ rows });
  });
  for (const [name, type, value] of given.parameters || []) request.addParameter(name, TYPES[type], value);
  request.on('row', (columns) => rows.push(columns.map((c) => c.value)));
  connection[given.parameters ? 'execSql' : 'execSqlBatch'](request);
});
