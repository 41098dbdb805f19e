// Microsoft's own JavaScript packages, as a program uses them that is told one authority and one endpoint.
import { readFileSync } from "node:fs";
import { ComputeManagementClient } from "@azure/arm-compute";
import { NetworkManagementClient } from "@azure/arm-network";
import { ResourceManagementClient } from "@azure/arm-resources";
import { ClientSecretCredential } from "@azure/identity";

const [base, audience, tenant, client, secretFile, subscription, group, node] = process.argv.slice(2);
const secret = readFileSync(secretFile, "utf8").trim();
const credential = new ClientSecretCredential(tenant, client, secret, { authorityHost: base, disableInstanceDiscovery: true });
const options = { endpoint: base, credentialScopes: [`${audience}/.default`] };
const compute = new ComputeManagementClient(credential, subscription, options);
const network = new NetworkManagementClient(credential, subscription, options);
const resources = new ResourceManagementClient(credential, subscription, options);

async function names(pages) {
  const found = [];
  for await (const one of pages) found.push(one.name);
  return found;
}

async function power() {
  const view = await compute.virtualMachines.instanceView(group, node);
  return view.statuses.map((status) => status.code).find((code) => code.startsWith("PowerState/"));
}

const said = {
  machines: await names(compute.virtualMachines.list(group)),
  nics: await names(network.networkInterfaces.list(group)),
  balancers: await names(network.loadBalancers.list(group)),
  groups: await names(resources.resourceGroups.list()),
};
await compute.virtualMachines.beginPowerOffAndWait(group, node, { skipShutdown: true, updateIntervalInMs: 50 });
said.off = await power();
await compute.virtualMachines.beginStartAndWait(group, node, { updateIntervalInMs: 50 });
said.on = await power();
console.log(JSON.stringify(said));
