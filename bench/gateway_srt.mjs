// The proxy of @anthropic-ai/sandbox-runtime alone, without the two socat processes it is deployed with.
const { createHttpProxyServer } = await import(process.argv[2])
const server = createHttpProxyServer({ filter: (port, host) => host === 'localhost' })
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
