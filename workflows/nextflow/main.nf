/*
 * Runs all plates of a screen: each folder in --plates is a plate and gets a run's folder in --runs; one table has
 * the wells of all, and overview.html shows the plates side by side.
 *
 *     nextflow run workflows/nextflow --plates SCREEN --runs RUNS --channel DAPI
 *
 * The same command again goes on with unfinished plates; with -resume it skips the finished ones.
 */

include { NUCBATCH ; GATHER } from './nucbatch.nf'

workflow {
    def runs = file(params.runs).toAbsolutePath().toString()
    def plates = channel.fromPath("${params.plates}/*", type: 'dir', checkIfExists: true)

    NUCBATCH(plates, runs)

    // A plate of which nothing could be done is not in the table; Nextflow names it and fails in the end.
    def done = NUCBATCH.out.wells.map { name, _table -> name }.collect()
    GATHER(done, runs)
    GATHER.out.failures.view()
}
