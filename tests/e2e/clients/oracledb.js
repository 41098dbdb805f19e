// Connects with node-oracledb's thin mode. The one argument is JSON: modules, connectString. Prints {ok} or {error}.
'use strict';
const given = JSON.parse(process.argv[2]);
const oracledb = require(require('path').join(given.modules, 'oracledb'));
oracledb.getConnection({ user: 'scott', password: 'tiger', connectString: given.connectString, connectTimeout: 30 })
  .then(() => console.log(JSON.stringify({ ok: true })), (error) => console.log(JSON.stringify({ error: String(error.message) })))
  .then(() => process.exit(0));
