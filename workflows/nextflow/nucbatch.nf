/*
 * nucbatch as a Nextflow module: one plate in, the tables of its run out.
 *
 * The run's folder is outside Nextflow's work folders, at <runs>/<plate>, for every attempt. So a plate that was killed
 * goes on where it stopped, in the next attempt or the next `nextflow run`, and its images, which may be terabytes, are
 * never copied. The tables are linked into the task's folder as its outputs. A plate with failures (exit code 3) counts
 * as done; its tables say what failed.
 */

process NUCBATCH {
    tag "${plate.name}"
    label 'nucbatch'

    input:
    path plate
    val runs

    output:
    tuple val(plate.name), path('wells.csv'), emit: wells
    tuple val(plate.name), path('nuclei.parquet'), emit: nuclei
    tuple val(plate.name), path('files.csv'), emit: files
    tuple val(plate.name), path('report.html'), emit: report

    script:
    """
    out='${runs}/${plate.name}'
    code=0
    nucbatch run "\$(realpath ${plate})" -o "\$out" --workers ${task.cpus} ${task.ext.args ?: ''} || code=\$?
    [ \$code -eq 0 ] || [ \$code -eq 3 ] || exit \$code
    ln -sf "\$out/wells.csv" "\$out/nuclei.parquet" "\$out/files.csv" "\$out/report.html" .
    """
}

process GATHER {
    publishDir "${params.runs}", mode: 'copy'

    input:
    val plates
    val runs

    output:
    path 'wells.csv', emit: wells
    path 'plates.csv', emit: plates
    path 'overview.html', emit: overview
    path '{assay,doses,normalised}.csv', optional: true, emit: assay
    stdout emit: failures

    script:
    def folders = plates.toSorted().collect { name -> "'${runs}/${name}'" }.join(' ')
    """
    python3 '${projectDir}/../gather.py' ${folders} --wells wells.csv --plates plates.csv --page overview.html --tell plates.csv
    """
}
